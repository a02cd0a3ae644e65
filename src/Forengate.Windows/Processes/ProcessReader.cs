using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Makes <see cref="Process"/> records of EPROCESS structures: one read for the structure, then what its pointers lead to.</summary>
internal sealed class ProcessReader(AddressSpace kernel, ProcessLayout layout)
{
    /// <summary>Bytes of <c>_EPROCESS.ImageFileName</c> in every x64 build.</summary>
    public const int ImageFileNameLength = 15;

    /// <summary>A list of threads is counted so far: it may be a circle that does not come back to its head.</summary>
    private const uint MaxThreadsCounted = 65_536;

    private readonly byte[] _buffer = new byte[layout.Length];

    /// <summary>Reads the structure into this reader's buffer; false where a page of it is missing (its bytes are zero then). The span lives until the next call.</summary>
    public bool TryRead(VirtualAddress eprocess, out ReadOnlySpan<byte> bytes)
    {
        bytes = _buffer;
        if (kernel.TryRead(eprocess, _buffer))
            return true;
        for (var done = 0; done < _buffer.Length;)
        {
            var part = _buffer.AsSpan(done, Math.Min(Page.Size - (eprocess + (ulong)done).PageOffset, _buffer.Length - done));
            part[kernel.Read(eprocess + (ulong)done, part)..].Clear();
            done += part.Length;
        }
        return false;
    }

    public ulong Id(ReadOnlySpan<byte> bytes) => Qword(bytes, layout.UniqueProcessId);

    public ulong DirectoryTableBase(ReadOnlySpan<byte> bytes) => KernelPointers.TableBase(Qword(bytes, layout.DirectoryTableBase));

    public string ShortName(ReadOnlySpan<byte> bytes) => UnicodeString.Ascii(bytes.Slice(layout.ImageFileName, ImageFileNameLength));

    /// <summary>Makes the whole record from bytes read before.</summary>
    public Process Describe(VirtualAddress eprocess, ReadOnlySpan<byte> bytes, FoundBy foundBy, bool isListed)
    {
        var path = ImagePath(bytes);
        var directoryTableBase = DirectoryTableBase(bytes);
        VirtualAddress? peb = new VirtualAddress(Qword(bytes, layout.Peb)) is var p && KernelPointers.IsUser(p, kernel.Levels) ? p : null;
        var exitTime = WindowsTime.FromFileTime(Qword(bytes, layout.ExitTime));
        var user = layout.UserDirectoryTableBase is { } offset ? KernelPointers.TableBase(Qword(bytes, offset)) : 0;
        var own = directoryTableBase != 0 && directoryTableBase < kernel.Memory.End.Value
            ? new WindowsAddressSpace(kernel.Memory, directoryTableBase, kernel.Levels)
            : null;
        var physical = kernel.Translate(eprocess);
        return new Process
        {
            Id = Id(bytes),
            ParentId = Qword(bytes, layout.InheritedFromUniqueProcessId),
            Name = FileName(path) ?? ShortName(bytes),
            ImagePath = path,
            CommandLine = own is not null && peb is { } at ? CommandLine(own, at) : null,
            CreateTime = WindowsTime.FromFileTime(Qword(bytes, layout.CreateTime)),
            ExitTime = exitTime,
            ThreadCount = ThreadCount(eprocess, bytes),
            SessionId = SessionId(bytes, own, peb),
            DirectoryTableBase = directoryTableBase,
            // 1 is Windows' mark for "no table of its own" (a process that runs privileged under KVA shadow).
            UserDirectoryTableBase = user != 0 ? user : null,
            IsWow64 = layout.WoW64Process is { } wow64 && Qword(bytes, wow64) != 0,
            Address = eprocess,
            PhysicalAddress = physical.Ok ? physical.Address : null,
            Peb = peb,
            FoundBy = foundBy,
            IsListed = isListed,
            HasExited = exitTime is not null,
        };
    }

    private string? ImagePath(ReadOnlySpan<byte> bytes)
    {
        var name = new VirtualAddress(Qword(bytes, layout.SeAuditImageFileName));
        if (!KernelPointers.IsObject(name, kernel.Levels))
            return null;
        var path = UnicodeString.Read(kernel, name);
        return string.IsNullOrEmpty(path) ? null : path;
    }

    private static string? FileName(string? path)
    {
        if (path is null)
            return null;
        var name = path[(path.LastIndexOf('\\') + 1)..];
        return name.Length == 0 ? null : name;
    }

    private string? CommandLine(AddressSpace own, VirtualAddress peb)
    {
        Span<byte> descriptor = stackalloc byte[UnicodeString.Size];
        if (!own.TryReadPointer(peb + (ulong)layout.PebProcessParameters, out var parameters) || !KernelPointers.IsUser(parameters, own.Levels)
            || !own.TryRead(parameters + (ulong)layout.ParametersCommandLine, descriptor))
            return null;
        var line = UnicodeString.From(descriptor);
        return line.IsUser ? line.Read(own) : null;
    }

    private uint? SessionId(ReadOnlySpan<byte> bytes, AddressSpace? own, VirtualAddress? peb)
    {
        if (layout.Session is { } session && layout.SessionId is { } id)
        {
            var space = new VirtualAddress(Qword(bytes, session));
            if (space.IsNull)
                return null;

            // Session space is mapped for the processes of that session only, so it is read through the process's own table.
            if (KernelPointers.IsObject(space, kernel.Levels) && (own ?? kernel).TryRead(space + (ulong)id, out uint number))
                return number;
        }
        return layout.PebSessionId is { } inPeb && own is not null && peb is { } at && own.TryRead(at + (ulong)inPeb, out uint fromPeb) ? fromPeb : null;
    }

    /// <summary>How many threads the process has: its own count, else as many as its list of threads has entries.</summary>
    private uint ThreadCount(VirtualAddress eprocess, ReadOnlySpan<byte> bytes)
    {
        if (layout.ActiveThreads is { } offset)
            return BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);
        if (layout.KernelThreadListHead is not { } head)
            return 0;
        var count = 0u;
        for (var at = eprocess + (ulong)head; count < MaxThreadsCounted && LinkedListWalk.TryReadLinks(kernel, at, out var links) && links.Flink != eprocess + (ulong)head; at = links.Flink)
            count++;
        return count;
    }

    /// <summary>Zero for a field that is not known: each of them means "none" by it.</summary>
    private static ulong Qword(ReadOnlySpan<byte> bytes, int? offset) => offset is { } at ? BinaryPrimitives.ReadUInt64LittleEndian(bytes[at..]) : 0;
}
