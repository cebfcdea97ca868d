// part: calls through generics, closures and the standard library.
use std::hint::black_box;

unsafe extern "C" {
    fn dump_stack();
}

struct Pool<T>(Vec<T>);

impl<T: Clone> Pool<T> {
    #[inline(never)]
    fn grow(&mut self, value: &T) {
        self.0.push(value.clone());
        unsafe { dump_stack() }; // line: grow
        black_box(&self.0);
    }
}

#[inline(never)]
fn fill(pool: &mut Pool<u32>) {
    [1u32].iter().for_each(|value| {
        pool.grow(value); // line: closure
        black_box(value);
    });
}

fn main() {
    let mut pool = Pool(Vec::new());
    fill(&mut pool); // line: main
    black_box(&pool.0);
}
