/// A socket's type, as READY names it (RFC 37/ZMTP, "The Socket-Type Property").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// `REQ`
    Req,
    /// `REP`
    Rep,
    /// `DEALER`
    Dealer,
    /// `ROUTER`
    Router,
    /// `PUB`
    Pub,
    /// `XPUB`
    Xpub,
    /// `SUB`
    Sub,
    /// `XSUB`
    Xsub,
    /// `PUSH`
    Push,
    /// `PULL`
    Pull,
    /// `PAIR`
    Pair,
}

impl SocketType {
    /// All that are known here: those that may send messages of several parts.
    pub const ALL: [Self; 11] = [
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Pub,
        Self::Xpub,
        Self::Sub,
        Self::Xsub,
        Self::Push,
        Self::Pull,
        Self::Pair,
    ];

    /// The type's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Pub => "PUB",
            Self::Xpub => "XPUB",
            Self::Sub => "SUB",
            Self::Xsub => "XSUB",
            Self::Push => "PUSH",
            Self::Pull => "PULL",
            Self::Pair => "PAIR",
        }
    }

    /// The type of a name, in capitals.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().as_bytes() == name)
    }

    /// Whether the two may be connected.
    pub fn goes_with(self, other: Self) -> bool {
        use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, Xpub, Xsub};
        match self {
            Req => matches!(other, Rep | Router),
            Rep => matches!(other, Req | Dealer),
            Dealer => matches!(other, Rep | Dealer | Router),
            Router => matches!(other, Req | Dealer | Router),
            Pub | Xpub => matches!(other, Sub | Xsub),
            Sub | Xsub => matches!(other, Pub | Xpub),
            Push => other == Pull,
            Pull => other == Push,
            Pair => other == Pair,
        }
    }
}
