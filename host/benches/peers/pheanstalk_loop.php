<?php
// Takes jobs by pheanstalk, for ever: arguments are host, port and tube. A body is read as PHP serialized it, or as JSON.

declare(strict_types=1);

require 'Pheanstalk/autoload.php';

[, $host, $port, $tube] = $argv;
$pheanstalk = Pheanstalk\Pheanstalk::create($host, (int) $port);
$pheanstalk->watchOnly($tube);
while (true) {
    $job = $pheanstalk->reserve();
    $body = $job->getData();
    $body[0] === '{' ? json_decode($body, true) : unserialize($body, ['allowed_classes' => false]);
    $pheanstalk->delete($job);
}
