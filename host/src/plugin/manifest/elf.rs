//! The little of ELF that finds the bytes behind an exported symbol.
//!
//! Every offset and size comes from the file and is believed only inside of it:
//! hostile headers give an error. See elf(5) and the System V gABI.

use object::{
    Endianness, ReadRef, elf,
    read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym},
};

use crate::plugin::manifest::ManifestError;

/// `e_machine` of the libraries that this host can load.
const MACHINE: elf::Machine = if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else if cfg!(target_arch = "riscv64") {
    elf::EM_RISCV
} else {
    elf::EM_X86_64
};

type Header = elf::FileHeader64<Endianness>;
type Segment = elf::ProgramHeader64<Endianness>;
type Section = elf::SectionHeader64<Endianness>;
type Symbol = elf::Sym64<Endianness>;

/// The parts of a shared library that symbols are found with.
pub(super) struct Library<'data, R> {
    data: R,
    endian: Endianness,
    segments: &'data [Segment],
    symbols: &'data [Symbol],
    names: &'data [u8],
}

/// Where an exported symbol is.
pub(super) struct Place {
    /// The address before relocation.
    pub(super) address: u64,
    /// In bytes, as the symbol table states it.
    pub(super) size: u64,
}

impl<'data, R: ReadRef<'data>> Library<'data, R> {
    /// Reads the headers of a shared library for this machine that is complete.
    pub(super) fn parse(data: R) -> Result<Self, ManifestError> {
        let length = data.len().map_err(|()| unreadable())?;
        check_identity(data, length)?;
        let header = Header::parse(data).map_err(damaged)?;
        let endian = header.endian().map_err(damaged)?;
        check_kind(header, endian)?;
        let segments = check_complete(header, endian, data, length)?;

        let sections = header.sections(endian, data).map_err(damaged)?;
        let table = sections
            .iter()
            .find(|section| section.sh_type(endian) == elf::SHT_DYNSYM);
        let (symbols, names) = match table {
            Some(table) => {
                let symbols = table.data_as_array(endian, data).map_err(damaged)?;
                let names = sections.section(table.link(endian)).map_err(damaged)?;
                (symbols, names.data(endian, data).map_err(damaged)?)
            }
            None => (&[][..], &[][..]),
        };
        Ok(Library {
            data,
            endian,
            segments,
            symbols,
            names,
        })
    }

    /// Where the exported symbol of that name is, if the library defines one.
    pub(super) fn symbol(&self, name: &str) -> Option<Place> {
        let defined = self.symbols.iter().find(|symbol| {
            let exported = matches!(
                symbol.st_bind(),
                elf::STB_GLOBAL | elf::STB_WEAK | elf::STB_GNU_UNIQUE
            );
            exported && symbol.st_shndx(self.endian) != elf::SHN_UNDEF && self.is_named(symbol, name)
        });
        defined.map(|symbol| Place {
            address: symbol.st_value(self.endian),
            size: symbol.st_size(self.endian),
        })
    }

    /// The file's bytes for addresses of the library. `None` where no segment of the file holds them all.
    pub(super) fn bytes(&self, address: u64, size: u64) -> Option<&'data [u8]> {
        let end = address.checked_add(size)?;
        self.segments.iter().find_map(|segment| {
            let start = segment.p_vaddr(self.endian);
            let loaded = segment.p_type(self.endian) == elf::PT_LOAD;
            let last = start.checked_add(segment.p_filesz(self.endian))?;
            if !loaded || address < start || end > last {
                return None;
            }
            let offset = segment.p_offset(self.endian).checked_add(address - start)?;
            self.data.read_bytes_at(offset, size).ok()
        })
    }

    fn is_named(&self, symbol: &Symbol, name: &str) -> bool {
        let start = symbol.st_name(self.endian) as usize;
        let rest = self.names.get(start..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Judges what decides which reader the rest needs, so that the usual mistakes get a text of their own.
fn check_identity<'data>(data: impl ReadRef<'data>, length: u64) -> Result<(), ManifestError> {
    if length == 0 {
        return Err(ManifestError::Empty);
    }
    let begin = read(data, 0, length.min(8))?;
    if !begin.starts_with(&elf::ELFMAG) {
        let archive = begin == b"!<arch>\n";
        return Err(ManifestError::NotElf { archive });
    }
    check_length(size_of::<Header>() as u64, length)?;
    match read(data, 4, 1)? {
        [class] if *class == elf::ELFCLASS64.0 => Ok(()),
        _ => Err(ManifestError::Class),
    }
}

/// Judges machine and type of file.
fn check_kind(header: &Header, endian: Endianness) -> Result<(), ManifestError> {
    let machine = header.e_machine(endian);
    if machine != MACHINE || header.is_little_endian() != cfg!(target_endian = "little") {
        let found = match machine {
            elf::EM_X86_64 => "x86_64".to_owned(),
            elf::EM_AARCH64 => "aarch64".to_owned(),
            elf::EM_RISCV => "riscv".to_owned(),
            elf::EM_PPC64 => "powerpc64".to_owned(),
            elf::EM_S390 => "s390x".to_owned(),
            elf::EM_LOONGARCH => "loongarch".to_owned(),
            other => format!("ELF machine {}", other.0),
        };
        return Err(ManifestError::Machine { found });
    }
    let found = match header.e_type(endian) {
        elf::ET_DYN => return Ok(()),
        elf::ET_REL => "an object file",
        elf::ET_EXEC => "an executable",
        elf::ET_CORE => "a core dump",
        _ => "an ELF file of unknown type",
    };
    Err(ManifestError::FileType { found })
}

/// Judges whether all that the headers tell of lies inside of the file: the kernel maps what is
/// missing all the same, and the process dies of SIGBUS when it is touched.
fn check_complete<'data>(
    header: &Header,
    endian: Endianness,
    data: impl ReadRef<'data>,
    length: u64,
) -> Result<&'data [Segment], ManifestError> {
    let table =
        |offset: u64, count: u16, entry: usize| offset.saturating_add(u64::from(count) * entry as u64);
    check_length(
        table(
            header.e_phoff(endian),
            header.e_phnum(endian),
            size_of::<Segment>(),
        ),
        length,
    )?;
    check_length(
        table(
            header.e_shoff(endian),
            header.e_shnum(endian),
            size_of::<Section>(),
        ),
        length,
    )?;
    let segments = header.program_headers(endian, data).map_err(damaged)?;
    for segment in segments {
        let (offset, size) = segment.file_range(endian);
        check_length(offset.saturating_add(size), length)?;
    }
    Ok(segments)
}

fn check_length(wanted: u64, found: u64) -> Result<(), ManifestError> {
    if wanted <= found {
        Ok(())
    } else {
        Err(ManifestError::Truncated { wanted, found })
    }
}

fn read<'data>(data: impl ReadRef<'data>, offset: u64, size: u64) -> Result<&'data [u8], ManifestError> {
    data.read_bytes_at(offset, size).map_err(|()| unreadable())
}

fn unreadable() -> ManifestError {
    ManifestError::Damaged {
        detail: "it cannot be read".to_owned(),
    }
}

fn damaged(error: object::Error) -> ManifestError {
    ManifestError::Damaged {
        detail: error.to_string(),
    }
}
