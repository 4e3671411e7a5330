<?php
// Runs the command classes of the PHP library, unchanged, as a persistent child of the handler `exec`.
// Needs PHP 7.4 or later and the extension json. plugins/exec/README.md tells how classes are called.
//
//   [handler.exec]
//   command = ["php", "/srv/worker.php"]
//   mode = "persistent"
//   class = '\Core\Mailler'
//   options = { autoload = "/srv/vendor/autoload.php" }
//
// The protocol is described there too: frames of a length (4 bytes, big-endian) and a JSON document, read from
// descriptor 3, written to descriptor 4. Whatever is printed goes to the host's log.

declare(strict_types=1);

namespace AsyncCall\Worker;

const VERSION = 1;

// What may be left of a script's memory for telling of its end, in bytes.
const RESERVE = 64 * 1024;

// The library's delay after an exception, in seconds, for a command that wants a release and names no interval.
const RELEASE_DELAY = 10;

/** Messages to and from the host. */
final class Link
{
    private $in;
    private $out;

    public function __construct()
    {
        $this->in = fopen('php://fd/' . (getenv('ASYNCCALL_READ_FD') ?: '3'), 'rb');
        $this->out = fopen('php://fd/' . (getenv('ASYNCCALL_WRITE_FD') ?: '4'), 'wb');
        if (!$this->in || !$this->out) {
            throw new \RuntimeException('this script is to be started by the handler `exec` of asynccall-host');
        }
    }

    /** The next message; null when the host has closed the link, which is the sign to leave. */
    public function receive(): ?array
    {
        $head = $this->read(4);
        if ($head === null) {
            return null;
        }
        $document = $this->read(unpack('N', $head)[1]);
        return $document === null ? null : json_decode($document, true, 512, JSON_THROW_ON_ERROR);
    }

    public function send(array $message): void
    {
        $flags = JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE
            | JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_PRESERVE_ZERO_FRACTION;
        $document = json_encode($message, $flags);
        $frame = pack('N', strlen($document)) . $document;
        for ($sent = 0; $sent < strlen($frame); $sent += $written) {
            $written = fwrite($this->out, $sent === 0 ? $frame : substr($frame, $sent));
            if (!$written) {
                // The host is gone.
                exit(1);
            }
        }
    }

    private function read(int $length): ?string
    {
        $bytes = '';
        while (strlen($bytes) < $length) {
            $piece = fread($this->in, $length - strlen($bytes));
            if ($piece === false || $piece === '') {
                return null;
            }
            $bytes .= $piece;
        }
        return $bytes;
    }
}

/** Makes commands of messages and messages of what the commands say. */
final class Runner
{
    private string $class;
    private ?\ReflectionMethod $constructor;
    /** The method by which a command without a constructor is given its message. */
    private ?string $setter = null;

    public function __construct(string $class)
    {
        $this->class = ltrim($class, '\\');
        if ($this->class === '') {
            throw new \RuntimeException('no `class` is configured');
        }
        if (!class_exists($this->class)) {
            throw new \RuntimeException("there is no class `{$this->class}`: is `autoload` or `include` of `options` right?");
        }
        $reflection = new \ReflectionClass($this->class);
        if (!$reflection->isInstantiable() || !$reflection->hasMethod('execute')) {
            throw new \RuntimeException("the class `{$this->class}` is no command: it cannot be made, or has no `execute`");
        }
        $this->constructor = $reflection->getConstructor();
        if ($this->constructor === null || $this->constructor->getNumberOfParameters() === 0) {
            foreach (['setParams', 'setCommands', 'setMessage', 'setData'] as $setter) {
                if ($reflection->hasMethod($setter) && $reflection->getMethod($setter)->isPublic()) {
                    $this->setter = $setter;
                    break;
                }
            }
        }
    }

    /** Runs one job, and answers with the members of its result message. */
    public function run(string $body): array
    {
        try {
            $message = self::decode($body);
            if (!$message) {
                return ['status' => 'bury', 'error' => 'Command params is not null'];
            }
            $command = $this->command($message);
            $result = $command->execute();
            return self::judge($command, (bool) $result, is_array($message) ? $message : []);
        } catch (Undecodable $error) {
            return ['status' => 'bury', 'error' => $error->getMessage()];
        } catch (\Throwable $error) {
            return ['status' => 'exception', 'error' => describe($error)];
        }
    }

    /** The message as the producer has put it: serialized, or as JSON. No object is ever made of it. */
    private static function decode(string $body)
    {
        $message = @unserialize($body, ['allowed_classes' => false]);
        if ($message !== false || $body === 'b:0;') {
            return $message;
        }
        $message = json_decode($body, true);
        if ($message === null && $body !== 'null') {
            throw new Undecodable($body === '' ? 'Command params is not null' : 'the body is neither serialized nor JSON');
        }
        return $message;
    }

    private function command($message): object
    {
        if ($this->setter !== null) {
            $command = new $this->class();
            $command->{$this->setter}($message);
            return $command;
        }
        return $this->constructor === null || $this->constructor->getNumberOfParameters() === 0
            ? new $this->class()
            : new $this->class($message);
    }

    /** What the command says of itself; where it says nothing, the truth of `execute` and the host's policy count. */
    private static function judge(object $command, bool $result, array $message): array
    {
        $status = strtoupper((string) self::ask($command, 'getStatus'));
        $error = $status === 'DELETE' || ($status === '' && $result) ? '' : (string) self::ask($command, 'getError');
        switch ($status) {
            case 'RELEASE':
                return ['status' => 'retry', 'delay' => self::interval($command, $message), 'error' => $error];
            case 'BURY':
                return ['status' => 'bury', 'error' => $error];
            case 'DELETE':
            case 'DELETED':
                return ['status' => 'done', 'result' => self::ask($command, 'getResultData')];
        }
        return $result
            ? ['status' => 'done', 'result' => self::ask($command, 'getResultData')]
            : ['status' => 'failed', 'error' => $error];
    }

    private static function interval(object $command, array $message): int
    {
        $interval = self::ask($command, 'getRetryIntervalTime') ?? $message['retryIntervalTime'] ?? RELEASE_DELAY;
        return max(0, (int) $interval);
    }

    /** A getter of the interface; null where the class has none, or has not set what it would answer with. */
    private static function ask(object $command, string $getter)
    {
        if (!method_exists($command, $getter)) {
            return null;
        }
        try {
            return $command->$getter();
        } catch (\TypeError $error) {
            // `getStatus(): string` of a class that never sets its status: the library never called it either.
            return null;
        }
    }
}

final class Undecodable extends \RuntimeException
{
}

function describe(\Throwable $error): string
{
    return sprintf('%s: %s in %s:%d', get_class($error), $error->getMessage(), $error->getFile(), $error->getLine());
}

/** The library's interface, for classes that implement it where the library is not installed. */
function provide_interface(): void
{
    spl_autoload_register(static function (string $name): void {
        // Its manual says AsyncCall, its code AsyncCaller.
        if (preg_match('~^Janfish\\\\Phalcon\\\\AsyncCall(er)?\\\\Command\\\\CommandInterface$~', $name)) {
            class_alias(CommandInterface::class, $name);
        }
    });
}

/** What the library's own interface demands of every command; the rest is asked for where a class has it. */
interface CommandInterface
{
    const RELEASE_RESULT_STATUS = 'RELEASE';
    const BURY_RESULT_STATUS = 'BURY';
    const DELETE_RESULT_STATUS = 'DELETE';
    const DELETED_RESULT_STATUS = 'DELETED';

    public function execute(): bool;

    public function getResultData();

    public function getStatus(): string;

    public function getError(): string;

    public function setError(string $error): void;
}

/** Reads the application's files, as the greeting names them. */
function load(array $options): void
{
    $unknown = array_diff(array_keys($options), ['autoload', 'include', 'max_memory_mib']);
    if ($unknown) {
        throw new \RuntimeException(
            'unknown key `' . reset($unknown) . '` of `options`, known are `autoload`, `include`, `max_memory_mib`'
        );
    }
    read((array) ($options['autoload'] ?? []));
    // Behind the application's autoloaders, which may know the library itself.
    provide_interface();
    read((array) ($options['include'] ?? []));
}

function read(array $files): void
{
    foreach ($files as $file) {
        if (!is_file($file)) {
            throw new \RuntimeException("there is no file `$file`");
        }
        require_once $file;
    }
}

function main(): void
{
    $link = new Link();
    $running = null;
    $reserve = str_repeat(' ', RESERVE);
    // A command that calls exit, or that PHP ends, is reported with PHP's own words.
    register_shutdown_function(static function () use ($link, &$running, &$reserve): void {
        $reserve = null;
        ini_set('memory_limit', '-1');
        if ($running === null) {
            return;
        }
        $error = error_get_last();
        $fatal = E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR;
        $text = $error !== null && ($error['type'] & $fatal)
            ? "{$error['message']} in {$error['file']}:{$error['line']}"
            : 'the command called exit';
        $link->send(['type' => 'result', 'id' => $running, 'status' => 'exception', 'error' => $text, 'last' => true]);
    });
    $greeting = $link->receive();
    if ($greeting === null) {
        return;
    }
    if ($greeting['version'] !== VERSION) {
        $link->send(['type' => 'hello', 'version' => VERSION]);
        return;
    }
    try {
        load($greeting['options']);
        $runner = new Runner((string) $greeting['class']);
    } catch (\Throwable $error) {
        $text = $error instanceof \RuntimeException ? $error->getMessage() : describe($error);
        $link->send(['type' => 'hello', 'version' => VERSION, 'error' => $text]);
        return;
    }
    $link->send(['type' => 'hello', 'version' => VERSION, 'wants' => ['body']]);
    $limit = (int) ($greeting['options']['max_memory_mib'] ?? 0) << 20;
    while (($job = $link->receive()) !== null) {
        $running = $job['id'];
        $result = $runner->run($job['body'] ?? base64_decode($job['body_base64']));
        $last = $limit > 0 && memory_get_usage() >= $limit;
        $running = null;
        $link->send(['type' => 'result', 'id' => $job['id'], 'last' => $last] + $result);
        if ($last) {
            return;
        }
    }
}

main();
