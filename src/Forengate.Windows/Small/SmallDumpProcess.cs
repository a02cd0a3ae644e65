using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;
using K = Forengate.Windows.DebuggerDataField;

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

    public static SmallDumpProcess Read(TriageDump dump, ReadOnlySpan<byte> kdbg, GuestArchitecture? architecture, ProfileStore profiles)
    {
        var bytes = dump.ProcessBytes;
        if (bytes.IsEmpty || kdbg.IsEmpty)
            return new(null, null, bytes.IsEmpty ? "the dump has no EPROCESS" : "the dump has no KDBG that says how to read its EPROCESS", ["the dump does not say which process ran"]);
        if (SmallDumpReader.Word(kdbg, K.SizeEProcess) is { } size && size < bytes.Length)
            bytes = bytes[..size];
        var address = SmallDumpReader.Qword(dump.ThreadBytes, SmallDumpReader.Word(kdbg, K.OffsetKThreadApcProcess)) ?? 0;
        var parent = SmallDumpReader.Qword(bytes, SmallDumpReader.Word(kdbg, K.OffsetEprocessParentCid)) ?? 0;
        var table = KernelPointers.TableBase(SmallDumpReader.Qword(bytes, SmallDumpReader.Word(kdbg, K.OffsetEprocessDirectoryTableBase)) ?? 0);
        var peb = SmallDumpReader.Qword(bytes, SmallDumpReader.Word(kdbg, K.OffsetEprocessPeb)) is { } at and not 0 ? new VirtualAddress(at) : (VirtualAddress?)null;

        if (architecture == GuestArchitecture.X64 && LayoutOf(dump.Header.MinorVersion, kdbg, bytes.Length, profiles) is var (profile, layout))
        {
            var name = UnicodeString.Ascii(bytes.Slice(layout.ImageFileName, NameLength));
            var exit = layout.ExitTime is { } exitTime ? WindowsTime.FromFileTime(Field(bytes, exitTime)) : null;
            var known = new Process
            {
                Id = Field(bytes, layout.UniqueProcessId),
                ParentId = parent,
                Name = name,
                CreateTime = layout.CreateTime is { } createTime ? WindowsTime.FromFileTime(Field(bytes, createTime)) : null,
                ExitTime = exit,
                ThreadCount = layout.ActiveThreads is { } threads ? BinaryPrimitives.ReadUInt32LittleEndian(bytes[threads..]) : 0,
                DirectoryTableBase = table,
                UserDirectoryTableBase = layout.UserDirectoryTableBase is { } user && KernelPointers.TableBase(Field(bytes, user)) is not 0 and var shadow ? shadow : null,
                IsWow64 = layout.WoW64Process is { } wow64 && Field(bytes, wow64) != 0,
                Address = new VirtualAddress(address),
                Peb = peb,
                FoundBy = FoundBy.List,
                IsListed = true,
                HasExited = exit is not null,
            };
            var thread = profile.OffsetOf(KernelField.ETHREAD_Cid_UniqueThread) is { } cid ? SmallDumpReader.Qword(dump.ThreadBytes, cid) : null;
            return new(known, thread, $"the EPROCESS in the dump, read as {profile} lays it out, a kernel of the same build", []);
        }
        var text = OnlyText(bytes);
        var unknown = new Process
        {
            Id = 0, ParentId = parent, Name = text ?? "", ThreadCount = 0, DirectoryTableBase = table, IsWow64 = false, Address = new VirtualAddress(address), Peb = peb, FoundBy = FoundBy.List,
            IsListed = true, HasExited = false,
        };
        return new(
            unknown, null, $"the EPROCESS in the dump, by KDBG's offsets{(text is null ? "" : "; its name is the only text in it")}",
            [$"no layout of this kernel is known{(architecture == GuestArchitecture.X64 ? "" : " (only those of x64 are carried)")}: PID, times and thread count of the process can't be told and are shown as 0"]);
    }

    private static (KernelProfile Profile, ProcessLayout Layout)? LayoutOf(uint build, ReadOnlySpan<byte> kdbg, int available, ProfileStore profiles)
    {
        foreach (var pack in profiles.Packs)
        {
            for (var i = 0; i < pack.Count; i++)
            {
                var profile = pack[i];
                if (profile.Version.Build == build && profile.SizeOf(KernelStruct.EPROCESS) == SmallDumpReader.Word(kdbg, K.SizeEProcess)
                    && profile.OffsetOf(KernelField.EPROCESS_InheritedFromUniqueProcessId) == SmallDumpReader.Word(kdbg, K.OffsetEprocessParentCid)
                    && profile.OffsetOf(KernelField.EPROCESS_Peb) == SmallDumpReader.Word(kdbg, K.OffsetEprocessPeb)
                    && KernelLayouts.Resolve(profile, out _) is { } layouts && layouts.Process.Length <= available)
                    return (profile, layouts.Process);
            }
        }
        return null;
    }

    /// <summary>The one run of printable letters, aligned, ended by zero and short enough, that an EPROCESS has; null where there are none or several.</summary>
    private static string? OnlyText(ReadOnlySpan<byte> bytes)
    {
        const int LeastLength = 3;
        string? found = null;
        for (var at = 0; at + NameLength < bytes.Length; at += sizeof(ulong))
        {
            var field = bytes.Slice(at, NameLength);
            var length = field.IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E);
            if (length < LeastLength || field[length..].ContainsAnyExcept((byte)0) || (at > 0 && bytes[at - 1] != 0))
                continue;
            if (found is not null)
                return null;
            found = UnicodeString.Ascii(field);
            at += sizeof(ulong);
        }
        return found;
    }

    private static ulong Field(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[offset..]);
}
