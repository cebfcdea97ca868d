//! What is used of the tables of functions that a JVM hands to its agents (`jni.h`, `jvmti.h`).
//!
//! Both are tables of pointers whose order is part of the interface; nothing is linked. A number here is
//! the one that the header's comment has (JVM TI), or the place in the structure (JNI).

#![allow(unsafe_code, reason = "functions of the VM, by their places in its tables")]

use core::ffi::{c_char, c_void};

/// `JavaVM *`: points at the pointer to its table.
pub type Vm = *const *const *const c_void;
/// `JNIEnv *`.
pub type Jni = *const *const *const c_void;
/// `jvmtiEnv *`.
pub type Jvmti = *const *const *const c_void;
/// `jmethodID`.
pub type MethodId = *const c_void;
/// `jclass`, a local reference.
pub type Class = *const c_void;

/// `JVMTI_VERSION_1_2`.
const JVMTI_VERSION: i32 = 0x3001_0200;
/// `JVMTI_ENABLE`.
const ENABLE: i32 = 1;

/// Events of which the agent is told, or which must be on for frames to be given at all.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Event {
    /// The VM can be asked everything.
    VmInit = 50,
    /// It ends.
    VmDeath = 51,
    /// The calling thread becomes one of the VM's.
    ThreadStart = 52,
    /// And will be no more.
    ThreadEnd = 53,
    /// AsyncGetCallTrace gives nothing where nobody listens to it.
    ClassLoad = 55,
    /// A class has its methods.
    ClassPrepare = 56,
}

type OnThread = unsafe extern "C" fn(Jvmti, Jni, *const c_void);
type OnEnd = unsafe extern "C" fn(Jvmti, Jni);
type OnClass = unsafe extern "C" fn(Jvmti, Jni, *const c_void, Class);

/// The head of `jvmtiEventCallbacks`, events 50 to 56.
#[repr(C)]
pub struct Callbacks {
    pub vm_init: OnThread,
    pub vm_death: OnEnd,
    pub thread_start: OnThread,
    pub thread_end: OnThread,
    /// `ClassFileLoadHook`.
    pub unused: usize,
    pub class_load: OnClass,
    pub class_prepare: OnClass,
}

/// The function at `place` of a table.
///
/// # Safety
/// `object` is one of the three types of pointers above; `F` is the prototype of the function there.
#[inline(always)]
unsafe fn function<F: Copy>(object: *const *const *const c_void, place: usize) -> F {
    const { assert!(size_of::<F>() == size_of::<usize>()) };
    // SAFETY: a table has all functions of its interface's version; a pointer to a function is a word.
    unsafe { core::mem::transmute_copy(&*(*object).add(place)) }
}

/// A tool interface of our own, with names and lines of methods.
///
/// # Safety
/// `vm` is a JVM of this process, in `Agent_OnLoad`.
pub unsafe fn tool_interface(vm: Vm) -> Option<Jvmti> {
    let mut found: *mut c_void = core::ptr::null_mut();
    // SAFETY: `JNIInvokeInterface_::GetEnv` is its seventh word, and makes one for this version number;
    // `AddCapabilities` is 142.
    unsafe {
        let get: unsafe extern "C" fn(Vm, *mut *mut c_void, i32) -> i32 = function(vm, 6);
        if get(vm, &mut found, JVMTI_VERSION) != 0 || found.is_null() {
            return None;
        }
        let jvmti = found as Jvmti;
        // `can_get_source_file_name`, `can_get_line_numbers`: bits 11 and 12 of 128, always to be had.
        let wanted: [u32; 4] = [1 << 11 | 1 << 12, 0, 0, 0];
        let add: unsafe extern "C" fn(Jvmti, *const [u32; 4]) -> i32 = function(jvmti, 142 - 1);
        (add(jvmti, &wanted) == 0).then_some(jvmti)
    }
}

/// Has `callbacks` called from now on; false if that is not to be had.
///
/// # Safety
/// `jvmti` is of this VM.
pub unsafe fn listen(jvmti: Jvmti, callbacks: &Callbacks, events: &[Event]) -> bool {
    type SetMode = unsafe extern "C" fn(Jvmti, i32, i32, *const c_void, ...) -> i32;
    // SAFETY: `SetEventCallbacks` is 122 and copies what it is given; `SetEventNotificationMode` is 2.
    unsafe {
        let set: unsafe extern "C" fn(Jvmti, *const Callbacks, i32) -> i32 =
            function(jvmti, 122 - 1);
        let mode: SetMode = function(jvmti, 2 - 1);
        set(jvmti, callbacks, size_of::<Callbacks>() as i32) == 0
            && events.iter().all(|event| mode(jvmti, ENABLE, *event as i32, core::ptr::null()) == 0)
    }
}

/// Memory that the VM gave: `count` things of type `T`, given back at the end.
pub struct Given<T> {
    jvmti: Jvmti,
    first: *mut T,
    count: i32,
}

impl<T> Given<T> {
    /// What is in it.
    pub fn all(&self) -> &[T] {
        if self.first.is_null() {
            return &[];
        }
        // SAFETY: the VM wrote so many.
        unsafe { core::slice::from_raw_parts(self.first, self.count.max(0) as usize) }
    }
}

impl<T> Drop for Given<T> {
    fn drop(&mut self) {
        // SAFETY: `Deallocate` is 47; the VM allocated it (or it is null, which is nothing).
        unsafe {
            let free: unsafe extern "C" fn(Jvmti, *mut c_void) -> i32 =
                function(self.jvmti, 47 - 1);
            free(self.jvmti, self.first.cast());
        }
    }
}

/// Calls a function that gives a count and an array.
///
/// # Safety
/// As [`function`], of a function that is called so.
unsafe fn array<T>(jvmti: Jvmti, call: impl FnOnce(&mut i32, &mut *mut T) -> i32) -> Given<T> {
    let (mut count, mut first) = (0, core::ptr::null_mut());
    let error = call(&mut count, &mut first);
    let count = if error == 0 { count } else { 0 };
    Given { jvmti, first: if error == 0 { first } else { core::ptr::null_mut() }, count }
}

/// All classes so far.
///
/// # Safety
/// In the live phase, on a thread of the VM, in a callback.
pub unsafe fn loaded_classes(jvmti: Jvmti) -> Given<Class> {
    // SAFETY: `GetLoadedClasses` is 78.
    unsafe {
        let get: unsafe extern "C" fn(Jvmti, *mut i32, *mut *mut Class) -> i32 =
            function(jvmti, 78 - 1);
        array(jvmti, |count, first| get(jvmti, count, first))
    }
}

/// The methods of a class: from now on each has an id.
///
/// # Safety
/// As [`loaded_classes`], or in the start phase.
pub unsafe fn methods(jvmti: Jvmti, class: Class) -> Given<MethodId> {
    // SAFETY: `GetClassMethods` is 52.
    unsafe {
        let get: unsafe extern "C" fn(Jvmti, Class, *mut i32, *mut *mut MethodId) -> i32 =
            function(jvmti, 52 - 1);
        array(jvmti, |count, first| get(jvmti, class, count, first))
    }
}

/// A place in a method, and its line.
#[repr(C)]
pub struct LineEntry {
    /// Index of a byte code.
    pub start: i64,
    /// The line from there on.
    pub line: i32,
}

/// The lines of a method.
///
/// # Safety
/// As [`methods`].
pub unsafe fn lines(jvmti: Jvmti, method: MethodId) -> Given<LineEntry> {
    type Get = unsafe extern "C" fn(Jvmti, MethodId, *mut i32, *mut *mut LineEntry) -> i32;
    // SAFETY: `GetLineNumberTable` is 70.
    unsafe {
        let get: Get = function(jvmti, 70 - 1);
        array(jvmti, |count, first| get(jvmti, method, count, first))
    }
}

/// A string of the VM's.
///
/// # Safety
/// As [`array`], of a function that gives one.
unsafe fn string(jvmti: Jvmti, call: impl FnOnce(&mut *mut c_char) -> i32) -> Given<u8> {
    let mut first = core::ptr::null_mut();
    if call(&mut first) != 0 || first.is_null() {
        return Given { jvmti, first: core::ptr::null_mut(), count: 0 };
    }
    // SAFETY: a C string.
    let length = unsafe { core::ffi::CStr::from_ptr(first) }.to_bytes().len();
    Given { jvmti, first: first.cast(), count: length as i32 }
}

/// Name of a method.
///
/// # Safety
/// As [`methods`].
pub unsafe fn method_name(jvmti: Jvmti, method: MethodId) -> Given<u8> {
    type Get = unsafe extern "C" fn(
        Jvmti,
        MethodId,
        *mut *mut c_char,
        *mut *mut c_char,
        *mut *mut c_char,
    ) -> i32;
    // SAFETY: `GetMethodName` is 64; what is null is not asked for.
    unsafe {
        let get: Get = function(jvmti, 64 - 1);
        let none = core::ptr::null_mut();
        string(jvmti, |name| get(jvmti, method, name, none, none))
    }
}

/// `Ljava/lang/String;`.
///
/// # Safety
/// As [`methods`].
pub unsafe fn signature(jvmti: Jvmti, class: Class) -> Given<u8> {
    type Get = unsafe extern "C" fn(Jvmti, Class, *mut *mut c_char, *mut *mut c_char) -> i32;
    // SAFETY: `GetClassSignature` is 48.
    unsafe {
        let get: Get = function(jvmti, 48 - 1);
        string(jvmti, |text| get(jvmti, class, text, core::ptr::null_mut()))
    }
}

/// `String.java`.
///
/// # Safety
/// As [`methods`].
pub unsafe fn source_file(jvmti: Jvmti, class: Class) -> Given<u8> {
    // SAFETY: `GetSourceFileName` is 50.
    unsafe {
        let get: unsafe extern "C" fn(Jvmti, Class, *mut *mut c_char) -> i32 =
            function(jvmti, 50 - 1);
        string(jvmti, |text| get(jvmti, class, text))
    }
}
