//! The shortest sequence of steps that still shows a difference.

use std::time::{Duration, Instant};

use ebph::detector::Step;

use crate::scenario::without_ghosts;

/// Leaves out steps, many at a time and then few, for as long as a difference
/// remains (delta debugging), or until the time is up.
pub fn shrink(
    mut steps: Vec<Step>,
    budget: Duration,
    mut differs: impl FnMut(&[Step]) -> bool,
) -> Vec<Step> {
    let end = Instant::now() + budget;
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut shorter = false;
        // From the end: the tail seldom depends on what follows it.
        let mut at = steps.len();
        while at > 0 {
            if Instant::now() > end {
                return steps;
            }
            let from = at.saturating_sub(size);
            let rest = [&steps[..from], &steps[at.min(steps.len())..]].concat();
            let rest = without_ghosts(&rest);
            if rest.len() < steps.len() && differs(&rest) {
                steps = rest;
                shorter = true;
            }
            at = from.min(steps.len());
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if !shorter {
            break;
        }
    }
    steps
}

/// Check that what remains is needed, and that it still makes sense.
#[test]
fn shrinks_to_what_is_needed() {
    use ebph::Symbol;
    use ebph::detector::Op;

    let call = |task, number| Op::Call {
        task,
        symbol: Symbol::native(number),
        sp: 0,
    };
    let mut ops = vec![
        Op::Exec {
            task: 1,
            profile: 0,
        },
        Op::Fork {
            parent: 1,
            child: 2,
            new_stack: false,
        },
    ];
    for number in 0..500 {
        ops.extend([call(1, number), call(2, number)]);
    }
    let steps: Vec<Step> = ops.into_iter().map(|op| Step::new(0, op)).collect();
    let made = |steps: &[Step], op| steps.iter().any(|step| step.op == op);
    let least = shrink(steps, Duration::from_secs(60), |steps| {
        made(steps, call(1, 77)) && made(steps, call(2, 300))
    });
    // The two calls, and what the tasks that make them come from.
    assert_eq!(least.len(), 4, "{least:?}");
}
