# Chipcard::PCSC with a reader that is a Unix socket instead of pcscd: only the functions that
# would call the PC/SC library are replaced, so that scriptor and its modules run as installed.
# Each line we send is a command in hex, or "reset"; each line we get is the answer in hex.
package SoftwareReader;

use strict;
use warnings;
use Chipcard::PCSC;
use Chipcard::PCSC::Card;
use IO::Socket::UNIX;

my $reader = IO::Socket::UNIX->new(Peer => $ENV{SOFTWARE_READER})
    or die "no software reader at $ENV{SOFTWARE_READER}: $!\n";
my $atr = [];

sub ask {
    my ($line) = @_;
    print $reader "$line\n";
    $reader->flush;
    my $answer = <$reader>;
    die "the software reader is gone\n" unless defined $answer;
    return [unpack 'C*', pack 'H*', $answer =~ s/\s//gr];
}

no warnings qw(redefine prototype);
*Chipcard::PCSC::_EstablishContext = sub { return 1 };
*Chipcard::PCSC::_ReleaseContext   = sub { return 1 };
*Chipcard::PCSC::_ListReaders      = sub { return ('Software Reader') };
*Chipcard::PCSC::_Connect = sub { $atr = ask('reset'); return (1, $Chipcard::PCSC::SCARD_PROTOCOL_T1) };
*Chipcard::PCSC::_Reconnect = sub { $atr = ask('reset'); return $Chipcard::PCSC::SCARD_PROTOCOL_T1 };
*Chipcard::PCSC::_Disconnect = sub { return 1 };
*Chipcard::PCSC::_Status = sub { return ('Software Reader', 0, $Chipcard::PCSC::SCARD_PROTOCOL_T1, $atr) };
*Chipcard::PCSC::_Transmit = sub { return (0, ask(join '', map { sprintf '%02X', $_ } @{$_[2]})) };

1;
