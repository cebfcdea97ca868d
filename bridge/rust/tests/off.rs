//! Without the shim everything does nothing. What happens under it is tested where the shim is built.

use core::ops::ControlFlow;

use resshim_api::Tracked;

#[test]
fn without_the_shim_nothing_is_live() {
    assert!(!resshim_api::is_on());
    resshim_api::phase("start");
    resshim_api::expect("session", 1.5);
    resshim_api::acquire("session", 1, "alice");
    let session = Tracked::numbered("session", "bob");
    session.state("busy");
    session.depends(&Tracked::new("database", 7, "orders"), "waits-for");
    let mut seen = 0;
    resshim_api::each(None, |_| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((seen, session.handle(), session.kind()), (0, 0, "session"));
    assert_eq!(session.into_handle(), 0);
}
