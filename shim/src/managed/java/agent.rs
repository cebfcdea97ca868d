//! The agent: what the JVM calls.
//!
//! These run as code of the host, on its threads, not in a hook: they may allocate, and the VM allocates for
//! them. What it allocates is left out of the heap's samples. They never fail the host: where something is
//! not as it should be, no frames are read, and the report says so.

#![allow(unsafe_code, reason = "called by the VM, and calls it")]

use super::interface::{self, Callbacks, Class, Event, Jni, Jvmti, Vm};
use super::layout::{Layout, Variables};
use super::lines::Coding;
use super::method::{self, Method};
use super::{AsyncGetCallTrace, MACHINE, Machine, PLACE};
use crate::{managed, real, start, tls};
use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};
use resshim_format::header::{RUNTIME_UNKNOWN_BUILD, RUNTIME_UNKNOWN_VERSION};
use resshim_format::table::Runtime;

/// Methods with lines that are compared before the VM's own structures are believed.
const COMPARED: usize = 200;

/// The machine, complete but for what only a running VM knows.
static FOUND: AtomicPtr<Machine> = AtomicPtr::new(core::ptr::null_mut());

/// Work of the agent, on a thread whose environment is known here (null: is not).
///
/// `GetEnv` would tell it in a hook, but reads a thread-local variable of the VM's library, for which ld.so
/// allocates memory at the first time, or makes room: inside an allocation that is in a bad place to ask.
fn own_work<T>(env: Jni, work: impl FnOnce() -> T) -> T {
    let own = tls::block();
    // SAFETY: this thread's own block. The VM's functions return here: they throw nothing.
    unsafe {
        if !env.is_null() {
            (*own).java = env.addr();
        }
        (*own).asking += 1;
        (*own).not_for_heap += 1;
        let result = work();
        (*own).asking -= 1;
        (*own).not_for_heap -= 1;
        result
    }
}

/// The VM starts. 0 in every case: anything else would end it.
///
/// # Safety
/// Called by a JVM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn Agent_OnLoad(vm: Vm, _: *const c_char, _: *const c_void) -> i32 {
    // A JVM to which we were not preloaded has no hooks of ours: there are no events to give frames for.
    if start::is_on() && start::is_preloaded() && !vm.is_null() {
        // SAFETY: as the VM promises.
        own_work(core::ptr::null(), || unsafe { load(vm) });
    }
    0
}

/// The VM has ended.
#[unsafe(no_mangle)]
pub extern "C" fn Agent_OnUnload(_: Vm) {
    MACHINE.store(core::ptr::null_mut(), Ordering::Release);
}

/// # Safety
/// `vm` is a JVM that is starting.
unsafe fn load(vm: Vm) {
    let ask = real::find(c"AsyncGetCallTrace");
    let layout = Variables(real::find).layout();
    let (Some(layout), false) = (layout, ask.is_null()) else {
        managed::say(Runtime::Java, RUNTIME_UNKNOWN_BUILD);
        return;
    };
    // SAFETY: the prototype of that function; `PLACE` is not read before `MACHINE` is set, and a second VM
    // (there can be none in a process) finds `FOUND` set.
    unsafe {
        let ask: AsyncGetCallTrace = core::mem::transmute(ask);
        if !FOUND.load(Ordering::Acquire).is_null() {
            return;
        }
        let place = (*PLACE.0.get()).write(Machine { ask, layout, loader: (0, 0) });
        FOUND.store(place, Ordering::Release);
        let callbacks = Callbacks {
            vm_init,
            vm_death,
            thread_start,
            thread_end,
            unused: 0,
            class_load,
            class_prepare,
        };
        let events = [
            Event::VmInit,
            Event::VmDeath,
            Event::ThreadStart,
            Event::ThreadEnd,
            Event::ClassLoad,
            Event::ClassPrepare,
        ];
        let listening = interface::tool_interface(vm)
            .is_some_and(|jvmti| interface::listen(jvmti, &callbacks, &events));
        if !listening {
            managed::say(Runtime::Java, RUNTIME_UNKNOWN_BUILD);
        }
    }
}

unsafe extern "C" fn class_load(_: Jvmti, _: Jni, _: *const c_void, _: Class) {}

/// A class has its methods: they get ids.
unsafe extern "C" fn class_prepare(jvmti: Jvmti, env: Jni, _: *const c_void, class: Class) {
    // SAFETY: as the VM calls us.
    own_work(env, || drop(unsafe { interface::methods(jvmti, class) }));
}

/// From here on the VM can be asked, if it is what it seems to be.
unsafe extern "C" fn vm_init(jvmti: Jvmti, env: Jni, _: *const c_void) {
    own_work(env, || {
        let machine = FOUND.load(Ordering::Acquire);
        // SAFETY: `load` wrote it; nobody else refers to it before `MACHINE` is set.
        let Some(machine) = (unsafe { machine.as_mut() }) else { return };
        // SAFETY: as the VM calls us.
        if let Some(coding) = unsafe { compare(jvmti, &machine.layout) } {
            machine.layout.coding = coding;
            begin(machine);
        } else {
            managed::say(Runtime::Java, RUNTIME_UNKNOWN_VERSION);
        }
    });
}

fn begin(machine: &'static mut Machine) {
    let code = (machine.layout.code_low as *const usize, machine.layout.code_high as *const usize);
    // SAFETY: static variables of the VM, constant since it started.
    let (low, high) = unsafe { (*code.0, *code.1) };
    let own = crate::stack::module_of(machine.ask as usize);
    if let Some(loader) = crate::stack::module_of(real::find(c"__tls_get_addr") as usize) {
        machine.loader = (loader.start, loader.end - loader.start);
    }
    MACHINE.store(machine, Ordering::Release);
    managed::set_generated_code(low, high);
    managed::begin(
        Runtime::Java,
        own.as_ref().map_or(0, |own| own.start),
        own.as_ref().map_or(0, |own| own.end),
    );
}

/// The calling thread can be asked from here on.
unsafe extern "C" fn thread_start(_: Jvmti, env: Jni, _: *const c_void) {
    own_work(env, || {});
}

/// It is about to leave the VM.
unsafe extern "C" fn thread_end(_: Jvmti, _: Jni, _: *const c_void) {
    // SAFETY: this thread's own block.
    unsafe { (*tls::block()).java = 0 };
}

unsafe extern "C" fn vm_death(_: Jvmti, _: Jni) {
    MACHINE.store(core::ptr::null_mut(), Ordering::Release);
}

/// Gives ids to the methods of all classes so far; and compares what the VM says of methods with what is read
/// of it. `None`: the two are not the same.
///
/// # Safety
/// In a callback, in the live phase.
unsafe fn compare(jvmti: Jvmti, layout: &Layout) -> Option<Coding> {
    let mut codings = [Coding::SinceJdk20, Coding::BeforeJdk20].map(Some);
    let mut compared = 0;
    // SAFETY: as the caller promises.
    unsafe {
        let classes = interface::loaded_classes(jvmti);
        for class in classes.all() {
            let methods = interface::methods(jvmti, *class);
            if compared >= COMPARED && codings.iter().flatten().count() == 1 {
                continue;
            }
            let (signature, source) =
                (interface::signature(jvmti, *class), interface::source_file(jvmti, *class));
            for id in methods.all() {
                let method = Method::of(method::target(*id), layout)?;
                let name = interface::method_name(jvmti, *id);
                let inner = signature.all().get(1..signature.all().len().saturating_sub(1));
                let is_class = inner.is_some_and(|inner| {
                    // A hidden class's address follows a dot there.
                    let same = |(a, b): (&u8, &u8)| a == b || (*a == b'.' && *b == b'+');
                    inner.len() == method.class().len()
                        && inner.iter().zip(method.class()).all(same)
                });
                if !is_class || name.all() != method.name() || source.all() != method.source() {
                    return None;
                }
                let lines = interface::lines(jvmti, *id);
                if lines.all().is_empty() {
                    continue;
                }
                compared += 1;
                for slot in &mut codings {
                    let right = |coding: &Coding| {
                        let layout = Layout { coding: *coding, ..*layout };
                        let method = Method::of(method::target(*id), &layout);
                        let read = method.map(|method| method.lines());
                        let said = lines.all().iter().map(|e| (e.start as i32, e.line));
                        read.is_some_and(|read| read.eq(said))
                    };
                    *slot = slot.filter(right);
                }
            }
        }
    }
    if compared < COMPARED {
        return None;
    }
    codings.into_iter().flatten().next()
}
