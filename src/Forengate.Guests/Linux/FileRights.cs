using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>Who may read and write a file: its owner, group, mode and access control list (acl(5)).</summary>
/// <param name="Owner">User.</param>
/// <param name="Group">Group.</param>
/// <param name="Mode">Permission bits.</param>
/// <param name="List">The list as the kernel hands it out (linux/posix_acl_xattr.h); empty where there is none.</param>
internal sealed record FileRights(uint Owner, uint Group, uint Mode, ReadOnlyMemory<byte> List)
{
    private const uint ReadAndWrite = 6;
    private const int OwnerShift = 6, GroupShift = 3;

    // struct posix_acl_xattr_header (u32 version), then entries of u16 tag, u16 permissions, u32 id.
    private const uint Version = 2;
    private const int HeaderSize = 4, EntrySize = 8, PermissionsAt = 2, IdAt = 4;
    private const ushort UserEntry = 2, OwningGroupEntry = 4, GroupEntry = 8, MaskEntry = 16;
    private const int MostBytes = 64 << 10;

    // struct statx (statx(2)).
    private const int StatusSize = 256, OwnerAt = 20, GroupAt = 24, ModeAt = 28;

    /// <summary>Of a file; null where there is none, or (then <paramref name="unknown"/>) where it can't be looked at.</summary>
    public static unsafe FileRights? Of(string path, out bool unknown)
    {
        const int CurrentFolder = -100;
        const uint BasicFacts = 0x7FF;
        var status = stackalloc byte[StatusSize];
        unknown = false;
        if (LinuxNative.Status(CurrentFolder, path, 0, BasicFacts, status) != 0)
        {
            unknown = Marshal.GetLastPInvokeError() is LinuxNative.EACCES or LinuxNative.EPERM;
            return null;
        }
        var list = new byte[MostBytes];
        nint length;
        fixed (byte* start = list)
            length = LinuxNative.ExtendedAttribute(path, "system.posix_acl_access", start, (nuint)list.Length);
        var facts = new ReadOnlySpan<byte>(status, StatusSize);
        return new FileRights(
            BinaryPrimitives.ReadUInt32LittleEndian(facts[OwnerAt..]), BinaryPrimitives.ReadUInt32LittleEndian(facts[GroupAt..]), BinaryPrimitives.ReadUInt16LittleEndian(facts[ModeAt..]),
            length > 0 ? list.AsMemory(0, (int)length) : default);
    }

    /// <summary>By the rules of acl(5), "Access check algorithm": the first that fits a user decides, and of groups any.</summary>
    /// <param name="user">Who opens it, without capabilities.</param>
    /// <param name="groups">The user's.</param>
    public bool AllowsReadAndWrite(uint user, IReadOnlyList<uint> groups)
    {
        if (user == Owner)
            return IsBoth(Mode >> OwnerShift);
        var (mask, named, matched, allowed) = (ReadAndWrite, (uint?)null, false, false);
        var group = Mode >> GroupShift;
        var entries = List.Length >= HeaderSize && BinaryPrimitives.ReadUInt32LittleEndian(List.Span) == Version ? List.Span[HeaderSize..] : default;
        for (; entries.Length >= EntrySize; entries = entries[EntrySize..])
        {
            var (permissions, id) = (BinaryPrimitives.ReadUInt16LittleEndian(entries[PermissionsAt..]), BinaryPrimitives.ReadUInt32LittleEndian(entries[IdAt..]));
            switch (BinaryPrimitives.ReadUInt16LittleEndian(entries))
            {
                case UserEntry when id == user:
                    named = permissions;
                    break;
                // With a list, the mode's group bits are its mask.
                case OwningGroupEntry:
                    group = permissions;
                    break;
                case GroupEntry when groups.Contains(id):
                    (matched, allowed) = (true, allowed || IsBoth(permissions));
                    break;
                case MaskEntry:
                    mask = permissions;
                    break;
            }
        }
        if (named is { } own)
            return IsBoth(own & mask);
        if (groups.Contains(Group))
            (matched, allowed) = (true, allowed || IsBoth(group));
        return matched ? allowed && IsBoth(mask) : IsBoth(Mode);
    }

    private static bool IsBoth(uint permissions) => (permissions & ReadAndWrite) == ReadAndWrite;
}
