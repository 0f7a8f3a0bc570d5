use super::error::LinkError;

/// The most credit that there may be at a time.
const MOST: u32 = i32::MAX as u32;

/// How many bytes of an exchange may still be sent: payloads of `Data` and `Message`, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendCredit {
    left: u32,
}

impl SendCredit {
    /// With what the other side's `Hello` gives every exchange.
    pub fn new(hello: u32) -> Self {
        Self { left: hello.min(MOST) }
    }

    /// How many bytes may be sent now.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Takes credit for up to `wanted` bytes; how many may be sent.
    pub fn take(&mut self, wanted: usize) -> usize {
        let taken = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.left);
        self.left -= taken;
        taken as usize
    }

    /// Adds what a `Credit` frame says.
    pub fn grant(&mut self, granted: u32) -> Result<(), LinkError> {
        let sum = self.left.checked_add(granted).filter(|sum| *sum <= MOST);
        self.left = sum.ok_or(LinkError::TooMuchCredit { credit: self.left, granted })?;
        Ok(())
    }
}

/// How many bytes of an exchange the other side may still send.
///
/// At most `window` bytes are held here or under way. Credit goes back in pieces of half a window or
/// more, not for every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveCredit {
    window: u32,
    left: u32,
    /// What was used and not granted again.
    used: u32,
}

impl ReceiveCredit {
    /// With what our `Hello` gives every exchange.
    pub fn new(hello: u32) -> Self {
        let window = hello.min(MOST);
        Self { window, left: window, used: 0 }
    }

    /// Counts what came in: the payload of a `Data` or `Message` frame, whole.
    pub fn received(&mut self, bytes: usize) -> Result<(), LinkError> {
        let left = u32::try_from(bytes).ok().and_then(|bytes| self.left.checked_sub(bytes));
        self.left = left.ok_or(LinkError::OverCredit { bytes, credit: self.left })?;
        Ok(())
    }

    /// Counts what is held no more; what to grant in a `Credit` frame, if it is worth one.
    pub fn used(&mut self, bytes: usize) -> Option<u32> {
        let held = self.window - self.left - self.used;
        self.used += u32::try_from(bytes).unwrap_or(u32::MAX).min(held);
        if self.used == 0 || self.used < self.window.div_ceil(2) {
            return None;
        }
        let granted = std::mem::take(&mut self.used);
        self.left += granted;
        Some(granted)
    }

    /// How many bytes are held, granted and under way at most.
    pub fn window(&self) -> u32 {
        self.window
    }
}
