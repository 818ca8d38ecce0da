#![no_main]

use tombolo_fuzz::component::Components;

tombolo_fuzz::fuzz!(Components);
