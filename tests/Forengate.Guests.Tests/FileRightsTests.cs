using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Forengate.Guests.Tests;

/// <summary>Who may open a file for reading and writing, as the kernel has it: each answer of ours is tried by a process of that user.</summary>
public sealed partial class FileRightsTests
{
    private const uint User = 65534, OtherUser = 12345, Group = 2345, OtherGroup = 3456;

    // linux/posix_acl_xattr.h: tags of entries, and the id of those that have none.
    private const ushort Owner = 1, NamedUser = 2, OwningGroup = 4, NamedGroup = 8, Mask = 16, Others = 32;
    private const uint None = uint.MaxValue;

    [LibraryImport("libc", EntryPoint = "setxattr", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetAttribute(string path, string name, byte[] value, nuint size, int flags);

    [LibraryImport("libc", EntryPoint = "chown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChangeOwner(string path, uint user, uint group);

    private static byte[] List(params (ushort Tag, ushort Permissions, uint Id)[] entries)
    {
        var bytes = new byte[4 + 8 * entries.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, 2);
        for (var i = 0; i < entries.Length; i++)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4 + 8 * i), entries[i].Tag);
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(6 + 8 * i), entries[i].Permissions);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8 + 8 * i), entries[i].Id);
        }
        return bytes;
    }

    private static readonly (uint Owner, uint Group, int Mode, byte[] List)[] s_files =
    [
        (0, 0, 0x180, []), // 600
        (0, 0, 0x1B6, []), // 666
        (0, 0, 0x1A4, []), // 644
        (0, Group, 0x1B0, []), // 660
        (0, Group, 0x1A6, []), // 646: the group has less than others
        (User, 0, 0x180, []), // 600
        (User, Group, 0x136, []), // 466: the owner has less than others
        (0, 0, 0x180, List((Owner, 6, None), (NamedUser, 6, User), (OwningGroup, 0, None), (Mask, 6, None), (Others, 0, None))),
        (0, 0, 0x180, List((Owner, 6, None), (NamedUser, 6, User), (OwningGroup, 0, None), (Mask, 4, None), (Others, 6, None))),
        (0, Group, 0x180, List((Owner, 6, None), (NamedUser, 4, User), (OwningGroup, 6, None), (Mask, 6, None), (Others, 6, None))),
        (0, 0, 0x180, List((Owner, 6, None), (OwningGroup, 0, None), (NamedGroup, 6, Group), (Mask, 7, None), (Others, 0, None))),
        (0, Group, 0x180, List((Owner, 6, None), (OwningGroup, 4, None), (NamedGroup, 2, OtherGroup), (Mask, 6, None), (Others, 6, None))),
        (0, Group, 0x180, List((Owner, 6, None), (OwningGroup, 4, None), (NamedGroup, 6, OtherGroup), (Mask, 6, None), (Others, 0, None))),
    ];

    [Fact]
    public void They_are_what_the_kernel_says()
    {
        if (!Environment.IsPrivilegedProcess || !File.Exists("/usr/bin/setpriv"))
            Assert.Skip("only root can be other users");
        var folder = Directory.CreateTempSubdirectory("forengate-rights-").FullName;
        try
        {
            LinuxNative.ChangeMode(folder, 0x1ED);
            var path = Path.Combine(folder, "file");
            var answers = new HashSet<bool>();
            foreach (var (owner, group, mode, list) in s_files)
            {
                File.Delete(path);
                File.WriteAllText(path, "");
                Assert.Equal(0, ChangeOwner(path, owner, group));
                LinuxNative.ChangeMode(path, (uint)mode);
                if (list.Length != 0 && SetAttribute(path, "system.posix_acl_access", list, (nuint)list.Length, 0) != 0)
                    Assert.Skip("the folder for temporary files keeps no access control lists");
                var rights = FileRights.Of(path, out _)!;
                foreach (var user in (uint[])[User, OtherUser])
                {
                    foreach (var groups in (uint[][])[[99], [Group], [OtherGroup], [Group, OtherGroup]])
                    {
                        var allowed = MayOpen(path, user, groups);
                        Assert.True(allowed == rights.AllowsReadAndWrite(user, groups), $"{owner}:{group} {Convert.ToString(mode, 8)} {Convert.ToHexString(list)} by {user}:{string.Join(',', groups)}: {allowed}");
                        answers.Add(allowed);
                    }
                }
            }
            Assert.Equal(2, answers.Count);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_file_that_is_not_there_has_none()
    {
        Assert.Null(FileRights.Of("/nowhere/at/all", out var unknown));
        Assert.False(unknown);
    }

    private static bool MayOpen(string path, uint user, uint[] groups)
    {
        using var process = Process.Start(new ProcessStartInfo(
            "/usr/bin/setpriv", [$"--reuid={user}", $"--regid={groups[0]}", $"--groups={string.Join(',', groups)}", "/bin/sh", "-c", "exec 3<>\"$0\"", path]) { RedirectStandardError = true })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
