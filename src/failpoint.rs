//! Points at which the process can be made to die as by `kill -9`, so that live tests can kill it exactly
//! there and see what is left. Only a build with the feature `failpoints` has them; without it every function
//! here is empty, and [`amid`] gives back what it is given.
//!
//! `OCTOTHORPE_FAIL=commit-after:3 octothorpe serve` dies when the third commit has come to be. Passings are
//! counted from the first start of a verification on, so that a gateway is ready before it can die. A name that
//! is none is refused with the list of all. A build that has points says so in its version.
//!
//! `tests/e2e/failpoints.rs` kills at every one of [`Point::ALL`], and fails where one is never passed.

use std::future::Future;

/// The environment variable that arms a point: its name, and at which passing.
pub const VARIABLE: &str = "OCTOTHORPE_FAIL";

/// The version, and whether there are points in it.
pub const VERSION: &str = if cfg!(feature = "failpoints") {
    concat!(env!("CARGO_PKG_VERSION"), "+failpoints")
} else {
    env!("CARGO_PKG_VERSION")
};

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $point:ident = $name:literal,)+) => {
        /// Where the process can die.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $doc])+ $point,)+
        }

        impl Point {
            /// Every point.
            pub const ALL: &[Self] = &[$(Self::$point),+];

            /// What it is called.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }
        }
    };
}

points! {
    /// A commit is about to be given to the store.
    CommitBefore = "commit-before",
    /// The store has answered a commit, and nothing that follows from it is done.
    CommitAfter = "commit-after",
    /// The store is about to be asked for what is due.
    ClaimBefore = "claim-before",
    /// What is due is this node's and its lease renewed, and nothing of it is begun.
    ClaimAfter = "claim-after",
    /// What was claimed is handed over to be carried out.
    HandedOver = "handed-over",
    /// A call is about to be placed, or a text to be ordered.
    OrderBefore = "order-before",
    /// A call is being placed, or a text ordered: the carrier has been asked, as a rule, and not answered.
    OrderAmid = "order-amid",
    /// A call is placed or a text ordered, and nobody has written it down.
    OrderAfter = "order-after",
    /// A SIP message of a call is about to be sent.
    SipBefore = "sip-before",
    /// A SIP message of a call is sent.
    SipAfter = "sip-after",
    /// An event is about to be delivered.
    DeliveryBefore = "delivery-before",
    /// An event is being delivered: its endpoint has it, as a rule, and has not answered.
    DeliveryAmid = "delivery-amid",
    /// An event is delivered, and nobody has written it down.
    DeliveryAfter = "delivery-after",
    /// A delivery is about to be taken out of the queue.
    DequeueBefore = "dequeue-before",
    /// A delivery is taken out of the queue.
    DequeueAfter = "dequeue-after",
    /// An event that was not taken is about to be given back to the queue, to be tried again later.
    PostponeBefore = "postpone-before",
    /// It is given back.
    PostponeAfter = "postpone-after",
    /// Whoever started a verification is about to be answered.
    AnswerBefore = "answer-before",
    /// Whoever started a verification is answered.
    AnswerAfter = "answer-after",
    /// A transaction of the embedded store is about to be made durable.
    DiskBefore = "disk-before",
    /// It is durable, and the mark does not say so.
    DiskAmid = "disk-amid",
    /// It is durable, and nobody is told.
    DiskAfter = "disk-after",
    /// A group of scripts is about to be sent to Redis.
    RedisBefore = "redis-before",
    /// Redis has them, as a rule, and has not answered.
    RedisAmid = "redis-amid",
    /// Redis has answered, and nobody is told.
    RedisAfter = "redis-after",
}

/// Why no point is armed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{VARIABLE}={order:?} is not NAME:PASSING with a passing from 1 on, and one of these names: {names}"
)]
pub struct NoPoint {
    order: String,
    names: String,
}

#[cfg(feature = "failpoints")]
pub use self::armed::{amid, arm, count, pass, pass_where};

#[cfg(not(feature = "failpoints"))]
pub use self::none::{amid, count, pass, pass_where};

/// There are points.
#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;

    use nix::sys::signal::{Signal, raise};

    use super::{Future, NoPoint, Point};

    /// How far [`amid`] lets it come.
    const AMID: Duration = Duration::from_millis(3);

    static ARMED: OnceLock<Armed> = OnceLock::new();

    struct Armed {
        point: Point,
        left: AtomicU64,
        counts: AtomicBool,
    }

    /// Arms a point, once in a process: `commit-after:3`.
    ///
    /// # Errors
    /// With the names of all, when it is no such order.
    pub fn arm(order: &str) -> Result<(), NoPoint> {
        let (point, passing) = read(order).ok_or_else(|| {
            let names: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
            NoPoint { order: order.to_owned(), names: names.join(", ") }
        })?;
        let (left, counts) = (AtomicU64::new(passing), AtomicBool::new(false));
        let _once = ARMED.set(Armed { point, left, counts });
        Ok(())
    }

    fn read(order: &str) -> Option<(Point, u64)> {
        let (name, passing) = order.split_once(':')?;
        let point = Point::ALL.iter().find(|point| point.name() == name)?;
        Some((*point, passing.parse().ok().filter(|&passing| passing > 0)?))
    }

    /// A verification is started: from now on passings count.
    pub fn count() {
        if let Some(armed) = ARMED.get() {
            armed.counts.store(true, Ordering::Relaxed);
        }
    }

    fn is_due(point: Point) -> bool {
        ARMED.get().is_some_and(|armed| {
            armed.point == point
                && armed.counts.load(Ordering::Relaxed)
                && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        })
    }

    fn die() -> ! {
        let _none_survives_it = raise(Signal::SIGKILL);
        std::process::abort()
    }

    /// Dies here, if it is the passing that was ordered.
    pub fn pass(point: Point) {
        if is_due(point) {
            die();
        }
    }

    /// The same, where it counts only what is `so`.
    pub fn pass_where(point: Point, so: impl FnOnce() -> bool) {
        if ARMED.get().is_some_and(|armed| armed.point == point) && so() {
            pass(point);
        }
    }

    /// Does it; or begins it, and dies shortly after.
    pub async fn amid<F: Future>(point: Point, act: F) -> F::Output {
        if !is_due(point) {
            return act.await;
        }
        let _whether_over_or_not = tokio::time::timeout(AMID, act).await;
        die()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_order_names_a_point_and_a_passing() {
            assert_eq!(read("commit-after:3"), Some((Point::CommitAfter, 3)));
            for wrong in [
                "",
                "commit-after",
                "commit-after:",
                "commit-after:0",
                "commit:1",
                "commit-after:x",
            ] {
                let told = arm(wrong).unwrap_err().to_string();
                assert!(told.contains("commit-before") && told.contains("redis-after"), "{told}");
            }
        }
    }
}

/// There are none.
#[cfg(not(feature = "failpoints"))]
mod none {
    use super::{Future, Point};

    /// Nothing is counted.
    #[inline(always)]
    pub const fn count() {}

    /// Nothing is here.
    #[inline(always)]
    pub const fn pass(_: Point) {}

    /// Nothing is here, and nobody asks.
    #[inline(always)]
    pub fn pass_where(_: Point, _: impl FnOnce() -> bool) {}

    /// Does it.
    #[inline(always)]
    pub fn amid<F: Future>(_: Point, act: F) -> F {
        act
    }
}
