//! `wasi:filesystem`.

mod types;

use tombolo::{
    Accessor, Error, Linker, LinkerInstance, Resource, ResourceTableError, Result, StoreMut, StreamReader,
};

use crate::WasiView;
use crate::blocking::{Blocking, Workers};
use crate::filesystem::{self, Descriptor, DirectoryReader, FileReader, FileWriter, Position};

use super::streams;

pub use types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};

/// What a guest is answered: a value or an error code.
type Answer<R> = Result<std::result::Result<R, ErrorCode>>;

/// Defines the interfaces of `wasi:filesystem`.
///
/// # Errors
///
/// Something of that name is defined already.
pub fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.3.2")?;
    types.resource::<Descriptor>("descriptor", |mut store, descriptor| {
        store.data_mut().wasi().table.delete(descriptor).map(drop).map_err(Error::host)
    })?;
    add_streams(&mut types)?;
    add_object_methods(&mut types)?;
    add_lookups(&mut types)?;
    add_changes(&mut types)?;

    linker.instance("wasi:filesystem/preopens@0.3.2")?.func("get-directories", |mut store, ()| {
        let wasi = store.data_mut().wasi();
        let preopens = &wasi.ctx.filesystem.preopens;
        preopens
            .iter()
            .map(|preopen| {
                let descriptor = wasi.table.push(preopen.descriptor.clone()).map_err(Error::host)?;
                Ok((descriptor, preopen.path.clone()))
            })
            .collect::<Result<Vec<(Resource<Descriptor>, String)>>>()
    })?;
    Ok(())
}

/// A borrowed descriptor, as methods receive it.
type This = Resource<Descriptor>;

/// The methods that give or take a stream.
fn add_streams<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func("[method]descriptor.read-via-stream", |mut store, (this, offset): (This, u64)| {
        let (descriptor, workers) = find(&mut store, &this)?;
        let input = FileReader::new(&descriptor, offset, &workers).map_err(ErrorCode::from);
        streams::read(store, input)
    })?;
    types.func(
        "[method]descriptor.write-via-stream",
        |store, (this, data, offset): (This, StreamReader<u8>, u64)| {
            write(store, &this, data, Position::At(offset))
        },
    )?;
    types.func("[method]descriptor.append-via-stream", |store, (this, data): (This, StreamReader<u8>)| {
        write(store, &this, data, Position::End)
    })?;
    types.func("[method]descriptor.read-directory", |mut store, (this,): (This,)| {
        let (descriptor, workers) = find(&mut store, &this)?;
        streams::list(store, DirectoryReader::new(descriptor, &workers))
    })?;
    Ok(())
}

fn write<T: WasiView + 'static>(
    mut store: StoreMut<'_, T>,
    this: &This,
    data: StreamReader<u8>,
    position: Position,
) -> Result<tombolo::FutureReader<streams::Outcome<ErrorCode>>> {
    let (descriptor, workers) = find(&mut store, this)?;
    let output = FileWriter::new(&descriptor, position, &workers).map_err(ErrorCode::from);
    streams::write(store, data, output)
}

/// The methods that are about the descriptor's own object.
fn add_object_methods<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func_async(
        "[method]descriptor.advise",
        |store, (this, offset, length, advice): (This, u64, u64, Advice)| async move {
            run(&store, &this, move |descriptor, blocking| {
                descriptor.advise(offset, length, advice.into(), blocking)
            })
            .await
        },
    )?;
    types.func_async("[method]descriptor.sync-data", |store, (this,): (This,)| async move {
        run(&store, &this, |descriptor, blocking| descriptor.sync(false, blocking)).await
    })?;
    types.func_async("[method]descriptor.sync", |store, (this,): (This,)| async move {
        run(&store, &this, |descriptor, blocking| descriptor.sync(true, blocking)).await
    })?;
    types.func("[method]descriptor.get-flags", |mut store, (this,): (This,)| -> Answer<DescriptorFlags> {
        let (descriptor, _) = find(&mut store, &this)?;
        Ok(Ok(descriptor.flags().into()))
    })?;
    types.func_async("[method]descriptor.get-type", |store, (this,): (This,)| async move {
        run(&store, &this, |descriptor, blocking| descriptor.kind(blocking).map(DescriptorType::from)).await
    })?;
    types.func_async("[method]descriptor.set-size", |store, (this, size): (This, u64)| async move {
        run(&store, &this, move |descriptor, blocking| descriptor.set_size(size, blocking)).await
    })?;
    types.func_async(
        "[method]descriptor.set-times",
        |store, (this, access, modification): (This, NewTimestamp, NewTimestamp)| async move {
            run(&store, &this, move |descriptor, blocking| {
                descriptor.set_times(access.into(), modification.into(), blocking)
            })
            .await
        },
    )?;
    types.func_async("[method]descriptor.stat", |store, (this,): (This,)| async move {
        run(&store, &this, |descriptor, blocking| descriptor.stat(blocking).map(DescriptorStat::from)).await
    })?;
    types.func_async(
        "[method]descriptor.is-same-object",
        |store, (this, other): (This, This)| async move {
            let (other, _) = store.with(|mut store| find(&mut store, &other))?;
            let same =
                run(&store, &this, move |descriptor, blocking| descriptor.is_same_object(&other, blocking));
            // What cannot be looked at is not known to be the same.
            Ok(same.await?.unwrap_or(false))
        },
    )?;
    types.func_async("[method]descriptor.metadata-hash", |store, (this,): (This,)| async move {
        let key = store.with(|mut store| store.data_mut().wasi().ctx.filesystem.hash_key.clone());
        run(&store, &this, move |descriptor, blocking| {
            descriptor.metadata_hash(&key, blocking).map(MetadataHashValue::from)
        })
        .await
    })?;
    Ok(())
}

/// The methods that look at what is below a directory.
fn add_lookups<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func_async(
        "[method]descriptor.stat-at",
        |store, (this, flags, path): (This, PathFlags, String)| async move {
            run(&store, &this, move |descriptor, blocking| {
                descriptor.stat_at(&path, flags.into(), blocking).map(DescriptorStat::from)
            })
            .await
        },
    )?;
    types.func_async(
        "[method]descriptor.open-at",
        |store,
         (this, path_flags, path, open_flags, flags): (
            This,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )| async move {
            let opened = run(&store, &this, move |descriptor, blocking| {
                descriptor.open_at(&path, path_flags.into(), open_flags.into(), flags.into(), blocking)
            });
            let descriptor = match opened.await? {
                Ok(descriptor) => descriptor,
                Err(error) => return Ok(Err(error)),
            };
            store.with(|mut store| -> Answer<Resource<Descriptor>> {
                match store.data_mut().wasi().table.push(descriptor) {
                    Err(ResourceTableError::Full(_)) => Ok(Err(ErrorCode::InsufficientMemory)),
                    pushed => pushed.map(Ok).map_err(Error::host),
                }
            })
        },
    )?;
    types.func_async("[method]descriptor.readlink-at", |store, (this, path): (This, String)| async move {
        run(&store, &this, move |descriptor, blocking| descriptor.readlink_at(&path, blocking)).await
    })?;
    types.func_async(
        "[method]descriptor.metadata-hash-at",
        |store, (this, flags, path): (This, PathFlags, String)| async move {
            let key = store.with(|mut store| store.data_mut().wasi().ctx.filesystem.hash_key.clone());
            run(&store, &this, move |descriptor, blocking| {
                descriptor.metadata_hash_at(&path, flags.into(), &key, blocking).map(MetadataHashValue::from)
            })
            .await
        },
    )?;
    Ok(())
}

/// The methods that change what is below a directory.
fn add_changes<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func_async(
        "[method]descriptor.create-directory-at",
        |store, (this, path): (This, String)| async move {
            run(&store, &this, move |descriptor, blocking| descriptor.create_directory_at(&path, blocking))
                .await
        },
    )?;
    types.func_async(
        "[method]descriptor.remove-directory-at",
        |store, (this, path): (This, String)| async move {
            run(&store, &this, move |descriptor, blocking| descriptor.remove_directory_at(&path, blocking))
                .await
        },
    )?;
    types.func_async(
        "[method]descriptor.unlink-file-at",
        |store, (this, path): (This, String)| async move {
            run(&store, &this, move |descriptor, blocking| descriptor.unlink_file_at(&path, blocking)).await
        },
    )?;
    types.func_async(
        "[method]descriptor.set-times-at",
        |store,
         (this, flags, path, access, modification): (This, PathFlags, String, NewTimestamp, NewTimestamp)| async move {
            run(&store, &this, move |descriptor, blocking| {
                descriptor.set_times_at(&path, flags.into(), access.into(), modification.into(), blocking)
            })
            .await
        },
    )?;
    types.func_async(
        "[method]descriptor.link-at",
        |store, (this, flags, path, directory, new_path): (This, PathFlags, String, This, String)| async move {
            let (directory, _) = store.with(|mut store| find(&mut store, &directory))?;
            run(&store, &this, move |descriptor, blocking| {
                descriptor.link_at(&path, flags.into(), &directory, &new_path, blocking)
            })
            .await
        },
    )?;
    types.func_async(
        "[method]descriptor.rename-at",
        |store, (this, path, directory, new_path): (This, String, This, String)| async move {
            let (directory, _) = store.with(|mut store| find(&mut store, &directory))?;
            run(&store, &this, move |descriptor, blocking| {
                descriptor.rename_at(&path, &directory, &new_path, blocking)
            })
            .await
        },
    )?;
    types.func_async(
        "[method]descriptor.symlink-at",
        |store, (this, target, path): (This, String, String)| async move {
            run(&store, &this, move |descriptor, blocking| descriptor.symlink_at(&target, &path, blocking))
                .await
        },
    )?;
    Ok(())
}

/// Finds the descriptor that a handle stands for, and how it may be used.
fn find<T: WasiView + 'static>(store: &mut StoreMut<'_, T>, this: &This) -> Result<(Descriptor, Workers)> {
    let wasi = store.data_mut().wasi();
    let descriptor = wasi.table.get(this).map_err(Error::host)?;
    Ok((descriptor.clone(), wasi.ctx.workers.clone()))
}

/// Runs an operation on a descriptor: in place if it answers at once, otherwise where it may wait.
async fn run<T, R, F>(store: &Accessor<T>, this: &This, operation: F) -> Answer<R>
where
    T: WasiView + 'static,
    R: Send + 'static,
    F: Fn(&Descriptor, Blocking) -> filesystem::Result<R> + Send + 'static,
{
    let (descriptor, workers) = store.with(|mut store| find(&mut store, this))?;
    let result = match operation(&descriptor, workers.blocking()) {
        Err(filesystem::ErrorCode::WouldBlock) => {
            let mut job = workers.spawn(move || operation(&descriptor, Blocking::Allow));
            std::future::poll_fn(|cx| job.poll(cx)).await.map_err(Error::host)?
        }
        result => result,
    };
    Ok(result.map_err(ErrorCode::from))
}
