<?php
// Puts one mail on a beanstalkd, for the handler `mailer`. Needs PHP 7.4 or later and no extension.
//
//   php producer.php HOST:PORT TUBE         as the PHP library's client: serialize(), on the tube named crc32(TUBE)
//   php producer.php HOST:PORT TUBE json    as JSON, on the tube of that name
//
// Prints the job's id. Exit code 1: not put, and why. 64: wrong command line.

declare(strict_types=1);

const MAIL = [
    'to' => 'ann@example.org',
    'subject' => 'Hello from PHP',
    'text' => 'This was put by producer.php.',
];

// How many seconds the server may take to accept the connection, and for each answer.
const PATIENCE = 5;

function main(array $arguments): int
{
    if (count($arguments) < 3 || count($arguments) > 4 || !in_array($arguments[3] ?? 'php', ['php', 'json'], true)) {
        fwrite(STDERR, "usage: php producer.php HOST:PORT TUBE [php|json]\n");
        return 64;
    }
    [, $address, $tube] = $arguments;
    $priority = time();
    if (($arguments[3] ?? 'php') === 'php') {
        // beanstalkd takes few characters in a tube's name. The checksum is decimal, and never negative.
        $tube = sprintf('%u', crc32($tube));
        $body = serialize(message($priority));
    } else {
        $body = json_encode(MAIL, JSON_THROW_ON_ERROR);
    }
    try {
        echo put($address, $tube, $priority, 60, $body), "\n";
        return 0;
    } catch (RuntimeException $error) {
        fwrite(STDERR, "error: {$error->getMessage()}\n");
        return 1;
    }
}

/** The nine keys of the PHP library's client, in its order. */
function message(int $priority): array
{
    return [
        'model' => '\\Mail',
        'method' => 'send',
        'modelParams' => '',
        'methodParams' => MAIL,
        'errorRetry' => false,
        'noRetry' => false,
        'priority' => $priority,
        'retryIntervalTime' => 0,
        'retryStopAt' => '',
    ];
}

/** Puts a job, ready at once, and answers with its id. A worker has $ttr seconds for it. */
function put(string $address, string $tube, int $priority, int $ttr, string $body): string
{
    // Anything else would be read as further commands.
    if (strlen($tube) > 200 || !preg_match('~^[A-Za-z0-9+/;.$_()][A-Za-z0-9+/;.$_()-]*$~D', $tube)) {
        throw new RuntimeException("beanstalkd takes no tube called `$tube`");
    }
    $queue = @stream_socket_client("tcp://$address", $code, $reason, PATIENCE);
    if ($queue === false) {
        throw new RuntimeException("cannot connect to `$address`: " . ($reason ?: 'wanted HOST:PORT'));
    }
    stream_set_timeout($queue, PATIENCE);
    $used = ask($queue, "use $tube\r\n");
    if ($used !== "USING $tube") {
        throw new RuntimeException("the server answered `$used` to `use`");
    }
    $length = strlen($body);
    $answer = ask($queue, "put $priority 0 $ttr $length\r\n$body\r\n");
    if (!preg_match('~^INSERTED ([0-9]+)$~D', $answer, $found)) {
        throw new RuntimeException("the job was not put: the server answered `$answer`");
    }
    fclose($queue);
    return $found[1];
}

/** Sends a command and answers with the server's line. */
function ask($queue, string $command): string
{
    // One write may take a part of a large job.
    for ($sent = 0; $sent < strlen($command); $sent += $written) {
        $written = @fwrite($queue, substr($command, $sent));
        if (!$written) {
            throw new RuntimeException('the server has closed the connection');
        }
    }
    $line = fgets($queue);
    if ($line === false || substr($line, -2) !== "\r\n") {
        $late = stream_get_meta_data($queue)['timed_out'];
        throw new RuntimeException($late ? 'the server does not answer' : 'the server has closed the connection');
    }
    return substr($line, 0, -2);
}

exit(main($argv));
