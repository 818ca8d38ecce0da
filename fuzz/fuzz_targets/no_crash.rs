#![no_main]

use tombolo_fuzz::no_crash::NoCrash;

tombolo_fuzz::fuzz!(NoCrash);
