//! Carrying values from one guest to another without a host value in between.

use tombolo_types::component::{TypeRef, Types};

use super::flat::FlatSink;
use super::layout::TypeList;
use super::side::Bridge;
use crate::error::{Error, Result};

#[expect(clippy::too_many_arguments, reason = "both sides of a call")]
pub(crate) fn translate_flat(
    bridge: &mut dyn Bridge,
    src_types: &Types,
    src_list: TypeList,
    src_flat: &[u64],
    src_max_flat: usize,
    dst_types: &Types,
    dst_list: TypeList,
    dst_max_flat: usize,
    dst_out_param: Option<u64>,
) -> Result<FlatSink> {
    Err(Error::usage("not yet"))
}

#[expect(clippy::too_many_arguments, reason = "both sides of a copy")]
pub(crate) fn translate_elements(
    bridge: &mut dyn Bridge,
    src_types: &Types,
    src_element: TypeRef,
    src_ptr: u64,
    dst_types: &Types,
    dst_element: TypeRef,
    dst_ptr: u64,
    count: u64,
) -> Result<()> {
    Err(Error::usage("not yet"))
}
