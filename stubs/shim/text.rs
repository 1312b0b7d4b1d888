//! A text under construction, so that it goes to standard error at once.

use crate::sys;

/// Room for the text, in bytes; what does not fit is left out.
const ROOM: usize = 64 << 10;

/// Text in memory of its own, cut at its end.
pub struct Text {
    memory: usize,
    len: usize,
}

impl Text {
    /// `None` when there is no memory to be had.
    pub fn new() -> Option<Text> {
        let memory = sys::anonymous(ROOM)?;
        Some(Text { memory, len: 0 })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            self.push_byte(*byte);
        }
    }

    fn push_byte(&mut self, byte: u8) {
        if self.len < ROOM {
            // SAFETY: ROOM bytes are mapped there.
            unsafe { ((self.memory + self.len) as *mut u8).write(byte) };
            self.len += 1;
        }
    }

    /// # Safety
    /// The text must end with a zero.
    pub unsafe fn push_zero_terminated(&mut self, text: *const u8) {
        let mut at = 0;
        loop {
            // SAFETY: the caller's; the end was not passed.
            let byte = unsafe { text.add(at).read() };
            if byte == 0 {
                return;
            }
            self.push_byte(byte);
            at += 1;
        }
    }

    pub fn number(&mut self, number: u64, base: u64) {
        let mut digits = [0u8; 20];
        self.push(sys::format_number(number, base, &mut digits));
    }

    /// Takes back all but the first bytes.
    pub fn cut(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: that many bytes were written.
        unsafe { core::slice::from_raw_parts(self.memory as *const u8, self.len) }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: `bytes` borrows from this, so nothing uses the memory any more.
        unsafe { sys::unmap(self.memory, ROOM) };
    }
}
