//! What a request allocates, once all is warm: taut's whole path beside a bare session of rustls. Counted exactly, so one
//! round tells it; `tests/allocation_tls.rs` holds the two against each other.

use taut::{Peek, TlsVersion};

use crate::bare::Bare;
use crate::counting::counted;
use crate::material;
use crate::message;
use crate::options::Options;
use crate::peer::Secure;
use crate::report::{Figures, line, title};
use crate::subjects::{Exchange, Taut};
use crate::table::Table;

const REQUESTS: u64 = 1_000;

pub(crate) fn measure(_options: &Options, table: &mut Table) {
    let secure = Secure::start();
    let made = material::make();
    for bytes in [64, 16 << 10] {
        let config = material::rustls(&made.authority, TlsVersion::Tls13, false);
        let mut bare = Bare::new(config, &made.certificate, &made.key);
        let (mut ours, mut least) = (Figures::default(), Figures::default());
        least.push(bare.exchange_warm(&message(bytes)) as f64);
        let mut taut = Taut::new(&secure.peer(), 1, bytes, Peek::Always);
        let mut took = Vec::with_capacity(REQUESTS as usize);
        taut.run(REQUESTS, &mut took);
        took.clear();
        let ((), allocations, _) = counted(|| taut.run(REQUESTS, &mut took));
        ours.push(allocations as f64 / REQUESTS as f64);
        title(&format!(
            "allocations a request, {bytes} bytes, 1 connection"
        ));
        line("taut", "allocations", &ours);
        line("rustls, bare", "allocations", &least);
        let what =
            format!("{bytes} bytes: allocations a request (beside a bare session of rustls)");
        table.at_most(&what, [&ours, &least]);
    }
}
