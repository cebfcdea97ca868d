# As service.c: handles that an array keeps, and handles that are closed.
use strict;
use warnings;
use POSIX ();
my @kept;

sub read_config {
    open(my $file, '<', '/etc/hostname') or die;
    return $file;
}

sub leaky {
    my ($is_clean) = @_;
    my $file = read_config(); # leaks here
    if ($is_clean) { close($file); } else { push @kept, $file; }
}

sub healthy {
    close(read_config());
}

for (1 .. 40) {
    leaky(@ARGV && $ARGV[0] eq 'clean');
    healthy();
}
POSIX::_exit(0);
