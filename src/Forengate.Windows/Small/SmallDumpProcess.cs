using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// The process and thread in a small dump. It names its build, not its kernel's symbols: a known kernel of the same build serves whose EPROCESS is as long, and has the fields that KDBG tells
/// where, as the dump's says. Without one there is what KDBG tells, and the image's name where it is the only text in the EPROCESS.
/// </summary>
/// <param name="Process">Null where the dump has no EPROCESS.</param>
/// <param name="ThreadId">Null without a layout.</param>
/// <param name="How">Where it all comes from.</param>
/// <param name="Warnings">What could not be told.</param>
internal sealed record SmallDumpProcess(Process? Process, ulong? ThreadId, string How, IReadOnlyList<string> Warnings)
{
    /// <summary>Bytes of an image's name that an EPROCESS keeps.</summary>
    private const int NameLength = ProcessReader.ImageFileNameLength;

    public static SmallDumpProcess Read(SmallDumpStructures of, ProfileStore profiles)
    {
        var bytes = of.Process;
        if (bytes.IsEmpty || !of.AreKnown)
            return new(null, null, bytes.IsEmpty ? "the dump has no EPROCESS" : "the dump has no KDBG that says how to read its EPROCESS", ["the dump does not say which process ran"]);
        var address = of.CurrentProcess ?? default;
        var parent = of.ParentId ?? 0;
        var peb = of.Peb is { } at and not 0 ? new VirtualAddress(at) : (VirtualAddress?)null;

        if (of.Architecture is GuestArchitecture.X64 or GuestArchitecture.X86 && SmallDumpLayout.Of(of.Dump.Header, of.Kdbg, bytes.Length, profiles) is { } layout
            && of.Pointer(bytes, layout.ProcessId) is { } id)
        {
            var exit = layout.ExitTime is { } exitTime ? WindowsTime.FromFileTime(Qword(bytes, exitTime)) : null;
            var known = new Process
            {
                Id = id,
                ParentId = parent,
                Name = UnicodeString.Ascii(bytes.Slice(layout.ImageFileName, NameLength)),
                CreateTime = layout.CreateTime is { } createTime ? WindowsTime.FromFileTime(Qword(bytes, createTime)) : null,
                ExitTime = exit,
                ThreadCount = layout.ActiveThreads is { } threads ? BinaryPrimitives.ReadUInt32LittleEndian(bytes[threads..]) : 0,
                DirectoryTableBase = of.DirectoryTableBase,
                UserDirectoryTableBase = layout.UserDirectoryTableBase is { } user && KernelPointers.TableBase(Qword(bytes, user)) is not 0 and var shadow ? shadow : null,
                IsWow64 = layout.WoW64Process is { } wow64 && Qword(bytes, wow64) != 0,
                Address = address,
                Peb = peb,
                FoundBy = FoundBy.List,
                IsListed = true,
                HasExited = exit is not null,
            };
            return new(known, of.Pointer(of.Dump.ThreadBytes, layout.ThreadId), $"the EPROCESS in the dump, read as {layout.Name} lays it out, a kernel of the same build", []);
        }
        var text = OnlyText(bytes, of.PointerSize);
        var unknown = new Process
        {
            Id = 0, ParentId = parent, Name = text ?? "", ThreadCount = 0, DirectoryTableBase = of.DirectoryTableBase, IsWow64 = false, Address = address, Peb = peb, FoundBy = FoundBy.List,
            IsListed = true, HasExited = false,
        };
        var reason = of.Architecture is GuestArchitecture.X64 or GuestArchitecture.X86 ? "" : " (only those of x64 and x86 are carried)";
        return new(
            unknown, null, $"the EPROCESS in the dump, {of.How}{(text is null ? "" : "; its name is the only text in it")}",
            [$"no layout of this kernel is known{reason}: PID, times and thread count of the process can't be told and are shown as 0"]);
    }

    /// <summary>The one run of printable letters, aligned, ended by zero and short enough, that an EPROCESS has; null where there are none or several.</summary>
    private static string? OnlyText(ReadOnlySpan<byte> bytes, int pointerSize)
    {
        const int LeastLength = 3;
        string? found = null;
        for (var at = 0; at + NameLength < bytes.Length; at += pointerSize)
        {
            var field = bytes.Slice(at, NameLength);
            var length = field.IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E);
            if (length < LeastLength || field[length..].ContainsAnyExcept((byte)0) || (at > 0 && bytes[at - 1] != 0))
                continue;
            if (found is not null)
                return null;
            found = UnicodeString.Ascii(field);
            at += pointerSize;
        }
        return found;
    }

    private static ulong Qword(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[offset..]);
}
