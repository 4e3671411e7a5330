<?php
// A command as the PHP library calls it, which does nothing.

declare(strict_types=1);

namespace Bench;

final class Noop
{
    public function __construct(array $message)
    {
    }

    public function execute(): bool
    {
        return true;
    }
}
