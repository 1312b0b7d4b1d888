//! Where injected things lie, as link-time addresses.

use crate::image::Vaddr;
use crate::ring::layout::{self, Control, Private};
use std::mem::offset_of;

/// The addresses that hooks refer to.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The shim's `Config`.
    pub config: Vaddr,
    /// The ring's front.
    pub front: Vaddr,
    /// `gocc_init`.
    pub init: Vaddr,
    /// `gocc_conflict`.
    pub conflict: Vaddr,
    /// `gocc_death`.
    pub death: Vaddr,
    /// `gocc_enter`.
    pub enter: Vaddr,
    /// `gocc_leave`.
    pub leave: Vaddr,
    /// `gocc_lost`.
    pub lost: Vaddr,
    /// `gocc_overlap`.
    pub overlap: Vaddr,
    /// `gocc_sampled`.
    pub sampled: Vaddr,
    /// The injected moduledata.
    pub moduledata: Vaddr,
    /// `runtime.firstmoduledata.next`.
    pub next_moduledata: Vaddr,
}

impl Addresses {
    fn in_front(&self, offset: usize) -> Vaddr {
        Vaddr(self.front.0 + offset as u64)
    }
    fn in_control(&self, offset: usize) -> Vaddr {
        self.in_front(layout::CONTROL_OFFSET + offset)
    }
    /// `Control::gate`
    pub fn gate(&self) -> Vaddr {
        self.in_control(offset_of!(Control, gate))
    }
    /// `Private::lane_count`
    pub fn lane_count(&self) -> Vaddr {
        self.in_front(layout::PRIVATE_OFFSET + offset_of!(Private, lane_count))
    }
    /// `Control::clock`
    pub fn clock(&self) -> Vaddr {
        self.in_control(offset_of!(Control, clock))
    }
    /// `Control::dropped_no_lane`
    pub fn dropped_no_lane(&self) -> Vaddr {
        self.in_control(offset_of!(Control, dropped_no_lane))
    }
    /// `Control::dropped_no_p`
    pub fn dropped_no_p(&self) -> Vaddr {
        self.in_control(offset_of!(Control, dropped_no_p))
    }
    /// The first lane header.
    pub fn lane_headers(&self) -> Vaddr {
        self.in_front(layout::LANE_HEADERS_OFFSET)
    }
    /// The first mark.
    pub fn marks(&self) -> Vaddr {
        self.in_front(layout::MARKS_OFFSET)
    }
    /// The table of where maps were made.
    pub fn made(&self) -> Vaddr {
        self.in_front(layout::MADE_OFFSET)
    }
}
