<?php
// Commands for the tests, as users of the PHP library write them.

declare(strict_types=1);

namespace Core;

use Janfish\Phalcon\AsyncCall\Command\CommandInterface;

/** As the library's manual shows it: the whole interface. */
class Mailler implements CommandInterface
{
    protected string $error = '';
    protected string $status = '';
    protected int $interval = 0;
    protected $result;
    protected array $message;

    public function __construct(array $message)
    {
        $this->message = $message;
    }

    public function execute(): bool
    {
        $wish = $this->message['methodParams'] ?? $this->message;
        $this->status = $wish['status'] ?? '';
        $this->interval = $wish['interval'] ?? 0;
        $this->setError($wish['error'] ?? '');
        $this->result = ['pid' => getmypid(), 'message' => $this->message];
        switch ($wish['do'] ?? '') {
            case 'print':
                echo "printed\n";
                error_log('logged');
                break;
            case 'exception':
                throw new \DomainException('no such order');
            case 'error':
                return nosuchfunction();
            case 'exit':
                exit(0);
            case 'memory':
                $hoard = [];
                while (true) {
                    $hoard[] = str_repeat('x', 1 << 20);
                }
            case 'fatal':
                trigger_error('told so', E_USER_ERROR);
            case 'kill':
                exec('kill -9 ' . getmypid());
                sleep(60);
            case 'hang':
                echo "hanging\n";
                while (true) {
                    sleep(1);
                }
            case 'sleep':
                sleep(1);
                break;
            case 'leak':
                static $kept = [];
                $kept[] = str_repeat('x', 40 << 20);
        }
        return $wish['returns'] ?? true;
    }

    public function getResultData()
    {
        return $this->result;
    }

    public function getRetryIntervalTime(): int
    {
        return $this->interval;
    }

    public function getStatus(): string
    {
        return $this->status;
    }

    public function getCalledInstance()
    {
        return $this;
    }

    public function getError(): string
    {
        return $this->error;
    }

    public function setError(string $error): void
    {
        $this->error = $error;
    }
}

/** As the library's code has it: another namespace, two methods fewer, and a status that is never set. */
class Plain implements \Janfish\Phalcon\AsyncCaller\Command\CommandInterface
{
    private $_status;
    private $_error;
    private $_commands;

    public function __construct(array $commands)
    {
        $this->_commands = $commands;
    }

    public function execute(): bool
    {
        $this->_status = $this->_commands['status'] ?? null;
        return $this->_commands['returns'] ?? true;
    }

    public function getResultData()
    {
        return null;
    }

    public function getStatus(): string
    {
        return $this->_status;
    }

    public function getError(): string
    {
        return $this->_error;
    }

    public function setError(string $error): void
    {
        $this->_error = $error;
    }
}

/** Without a constructor, without an interface. */
class Settable
{
    private $params;

    public function setParams($params): void
    {
        $this->params = $params;
    }

    public function execute()
    {
        return $this->params['returns'] ?? 1;
    }

    public function getResultData()
    {
        return $this->params;
    }
}

abstract class Unfinished
{
    abstract public function execute();
}
