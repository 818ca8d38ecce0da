#![no_main]

use tombolo_fuzz::differential::Differential;

tombolo_fuzz::fuzz!(Differential);
