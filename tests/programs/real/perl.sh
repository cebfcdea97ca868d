# needs: perl
# says: 175 0
# ends: 9
# sees: tcp pipe file process
# Files, pipes, fork and wait, sockets, evaluation errors.
exec perl - <<'CODE'
use strict; use warnings; use IO::Socket::INET; use File::Temp; use POSIX ':sys_wait_h';
$| = 1;
my $file = File::Temp->new; print $file "line $_\n" for 1 .. 100; close $file;
open my $in, '<', "$file" or die; my @lines = <$in>; close $in; print scalar(@lines), "\n";
open my $pipe, '-|', 'seq 10' or die; my $sum = 0; $sum += $_ while <$pipe>; close $pipe; print "$sum\n";
open my $out, '|-', 'sort -n | tail -n 1' or die; print $out "$_\n" for 1 .. 50; close $out;
for my $n (1 .. 5) { my $pid = fork; exit $n if !$pid; waitpid $pid, 0; print $? >> 8, "\n" }
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', LocalPort => 0) or die;
if (!(my $pid = fork)) {
    for (1 .. 20) { my $client = $server->accept; print $client "hello\n"; close $client }
    exit 0;
}
for (1 .. 20) {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->sockport) or die;
    $sum += length <$socket>; close $socket;
}
wait; print "$sum $?\n";
print `echo backquotes`; system 'sh', '-c', 'exit 9'; print $? >> 8, "\n";
die "the end\n";
CODE
