using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory;

/// <summary>
/// The core file of a Linux process on x86-64, as the kernel (fs/binfmt_elf.c) and gcore write it: memory by virtual address, the program's name, the beginning of its command line, the
/// files it had mapped.
/// </summary>
internal sealed class ProcessCore
{
    // Notes named "CORE" (Linux, include/uapi/linux/elf.h).
    private const uint NotePsInfo = 3;
    private const uint NoteAuxiliary = 6;
    private const uint NoteFiles = 0x4649_4c45;

    // struct elf_prpsinfo of x86-64 (include/linux/elfcore.h): four bytes, flags, four ids, then the names.
    private const int PsInfoName = 40;
    private const int PsInfoNameSize = 16;
    private const int PsInfoArguments = 56;
    private const int PsInfoArgumentsSize = 80;

    // Auxiliary vector (include/uapi/linux/auxvec.h): pairs of words. The program's path is the last string on the stack, behind arguments and environment.
    private const ulong AuxiliaryPath = 31;
    private const int AuxiliaryEntry = 16;

    // NT_FILE: number of files, size of a page, then start, end, offset each, then the names, each ended by a zero.
    private const int FilesHeader = 16;
    private const int FilesEntry = 24;

    /// <summary>Linux' own bound on all strings of a program (a quarter of the largest stack).</summary>
    private const int MostStrings = 6 << 20;

    private const uint Readable = 4;
    private const uint Writable = 2;
    private const uint Executable = 1;

    // Elf64_Phdr
    private const int FlagsAt = 4;
    private const int VirtualAt = 16;

    private readonly MappedFile _file;
    private readonly List<(ulong Start, ulong Length, ulong Stored, ulong Offset, bool Writable)> _segments = [];
    private readonly List<(ulong Start, ulong End, string Path)> _files = [];
    private string _begins = "";
    private ulong? _path;

    private ProcessCore(MappedFile file) => _file = file;

    /// <summary>The program's name, cut to 15 characters; empty where no note says it.</summary>
    public string Program { get; private set; } = "";

    /// <summary>The command line: whole where the stack is in the core, else its first 80 characters.</summary>
    public IReadOnlyList<string> Arguments { get; private set; } = [];

    /// <summary>True where the strings on the stack gave <see cref="Arguments"/> whole.</summary>
    public bool ArgumentsAreWhole { get; private set; }

    /// <summary>True when the first program headers are a process's: none has a physical address, more than one a virtual one.</summary>
    public static bool Recognizes(ReadOnlySpan<byte> head)
    {
        if (!ElfHeader.IsCore(head) || ElfHeader.Parse(head, out var header) is not null || header is not { Is64: true, Machine: ElfHeader.MachineX64 })
            return false;
        var (loads, virtuals) = (0, 0);
        for (var i = 0; i < header.ProgramHeaderCount; i++)
        {
            var at = header.ProgramHeaders + ((ulong)i * header.ProgramHeaderSize);
            if (at > (ulong)head.Length - ElfHeader.ProgramHeaderSize64)
                break;
            var bytes = head[(int)at..];
            var segment = ElfSegment.Parse(bytes, is64: true);
            if (segment.Type != ElfSegment.Load)
                continue;
            if (segment.Physical.Value != 0)
                return false;
            loads++;
            if (BinaryPrimitives.ReadUInt64LittleEndian(bytes[VirtualAt..]) != 0)
                virtuals++;
        }
        return loads > 2 && virtuals > 1;
    }

    /// <exception cref="ImageFormatException">The header is none, or the list of segments is beyond all bounds.</exception>
    public static ProcessCore Read(MappedFile file, ImageLimits limits, List<string> damage, CancellationToken ct)
    {
        if (ElfHeader.Parse(file.Span(0, 64), out var header) is { } trouble)
            throw new ImageFormatException($"'{file.Path}' {trouble}");
        uint count = header.ProgramHeaderCount;
        if (count == ElfHeader.ManyProgramHeaders && !file.TryRead(unchecked(header.SectionHeaders + (ulong)header.SectionInfoAt), out count))
            throw new ImageFormatException($"'{file.Path}' does not say how many segments it has: it was cut off at its end");
        if (count > limits.Extents)
            throw new ImageFormatException($"'{file.Path}' claims {count} segments, more than any process has");
        var core = new ProcessCore(file);
        for (uint i = 0; i < count; i++)
        {
            ct.ThrowIfCancellationRequested();
            var bytes = file.Span((long)Math.Min(header.ProgramHeaders + ((ulong)i * header.ProgramHeaderSize), long.MaxValue), ElfHeader.ProgramHeaderSize64);
            if (bytes.Length < ElfHeader.ProgramHeaderSize64)
            {
                damage.Add($"the file is cut off within its list of segments: {i} of {count} are there");
                break;
            }
            core.Add(ElfSegment.Parse(bytes, is64: true), bytes, limits);
        }
        core._segments.Sort((left, right) => left.Start.CompareTo(right.Start));
        core.ReadArguments();
        return core;
    }

    /// <summary>The process's memory that could be a guest's RAM, whether the core has its bytes or not.</summary>
    public IEnumerable<ProcessRegion> Regions() =>
        _segments.Where(segment => segment.Writable).Select(segment => new ProcessRegion(segment.Start, segment.Length, PathOf(segment.Start)));

    /// <summary>Where a stretch of the process's memory lies in the file; what it has no bytes of is missing.</summary>
    public IEnumerable<FileExtent> Extents(PlacedRam ram)
    {
        var (at, end) = (ram.HostAddress, ram.HostAddress + ram.Range.Length);
        foreach (var segment in _segments)
        {
            if (segment.Start + segment.Length <= at || segment.Start >= end)
                continue;
            var stop = Math.Min(end, segment.Start + segment.Length);
            var stored = Math.Clamp(segment.Start + segment.Stored, at, stop);
            if (stored > at)
                yield return FileExtent.Stored(ram.Range.Start + (at - ram.HostAddress), stored - at, segment.Offset + (at - segment.Start));
            if (stop > stored)
                yield return FileExtent.Without(ram.Range.Start + (stored - ram.HostAddress), stop - stored, PageState.Missing);
            at = stop;
        }
    }

    private void Add(in ElfSegment segment, ReadOnlySpan<byte> bytes, ImageLimits limits)
    {
        if (segment.Type == ElfSegment.Note && segment.FileOffset < (ulong)_file.Length)
            AddNotes(_file.Span((long)segment.FileOffset, (int)Math.Min(segment.FileSize, (ulong)limits.DocumentBytes)));
        if (segment.Type != ElfSegment.Load)
            return;
        var flags = BinaryPrimitives.ReadUInt32LittleEndian(bytes[FlagsAt..]);
        var start = BinaryPrimitives.ReadUInt64LittleEndian(bytes[VirtualAt..]);
        if (segment.MemorySize == 0 || start > ulong.MaxValue - segment.MemorySize || segment.FileOffset > long.MaxValue)
            return;
        _segments.Add((start, segment.MemorySize, Math.Min(segment.FileSize, segment.MemorySize), segment.FileOffset, (flags & (Readable | Writable | Executable)) == (Readable | Writable)));
    }

    private void AddNotes(ReadOnlySpan<byte> rest)
    {
        while (ElfNote.TryTake(ref rest, out var note))
        {
            if (!note.Name.SequenceEqual("CORE"u8))
                continue;
            var text = note.Description;
            if (note.Type == NotePsInfo && text.Length >= PsInfoArguments + PsInfoArgumentsSize)
            {
                Program = TextAt(text.Slice(PsInfoName, PsInfoNameSize));
                _begins = TextAt(text.Slice(PsInfoArguments, PsInfoArgumentsSize)).TrimEnd(' ');
            }
            else if (note.Type == NoteAuxiliary)
            {
                for (; text.Length >= AuxiliaryEntry; text = text[AuxiliaryEntry..])
                {
                    if (BinaryPrimitives.ReadUInt64LittleEndian(text) == AuxiliaryPath)
                        _path = BinaryPrimitives.ReadUInt64LittleEndian(text[8..]);
                }
            }
            else if (note.Type == NoteFiles && _files.Count == 0)
                AddFiles(text);
        }
    }

    private void AddFiles(ReadOnlySpan<byte> text)
    {
        if (text.Length < FilesHeader)
            return;
        var count = BinaryPrimitives.ReadUInt64LittleEndian(text);
        var entries = text[FilesHeader..];
        if (count > (ulong)(entries.Length / FilesEntry))
            return;
        var names = entries[((int)count * FilesEntry)..];
        for (; count > 0 && !names.IsEmpty; count--, entries = entries[FilesEntry..])
        {
            var end = names.IndexOf((byte)0);
            if (end < 0)
                return;
            _files.Add((BinaryPrimitives.ReadUInt64LittleEndian(entries), BinaryPrimitives.ReadUInt64LittleEndian(entries[8..]), Encoding.UTF8.GetString(names[..end])));
            names = names[(end + 1)..];
        }
    }

    private string PathOf(ulong address)
    {
        foreach (var (start, end, path) in _files)
        {
            if (address >= start && address < end)
                return path;
        }
        return "";
    }

    /// <summary>Goes from the program's path, the last string on the stack, back to the string the command line begins with.</summary>
    private void ReadArguments()
    {
        Arguments = _begins.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (_path is not { } path || _begins.Length == 0)
            return;
        var at = _segments.FindIndex(segment => path >= segment.Start && path - segment.Start < segment.Stored);
        if (at < 0)
            return;
        var segment = _segments[at];
        var length = (int)Math.Min(path - segment.Start, MostStrings);
        var strings = _file.Span((long)(segment.Offset + (path - segment.Start)) - length, length);
        var begins = Encoding.UTF8.GetBytes(_begins);
        if (strings.Length != length)
            return;
        for (var end = length - 1; end > 0;)
        {
            var start = strings[..end].LastIndexOf((byte)0) + 1;
            if (Begins(strings[start..], begins))
            {
                Arguments = Encoding.UTF8.GetString(strings[start..]).Split('\0');
                ArgumentsAreWhole = true;
                return;
            }
            end = start - 1;
        }
    }

    /// <summary>The kernel writes blanks for the zeros between arguments.</summary>
    private static bool Begins(ReadOnlySpan<byte> strings, ReadOnlySpan<byte> begins)
    {
        if (strings.Length < begins.Length)
            return false;
        for (var i = 0; i < begins.Length; i++)
        {
            if (strings[i] != begins[i] && !(strings[i] == 0 && begins[i] == ' '))
                return false;
        }
        return true;
    }

    private static string TextAt(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }
}
