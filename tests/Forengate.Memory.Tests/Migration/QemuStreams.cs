using Forengate.Memory.Tests.Qemu;

namespace Forengate.Memory.Tests.Migration;

/// <summary>Has QEMU write migration streams, and compares views of them with QEMU's own word.</summary>
internal static class QemuStreams
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Migrates a guest to a file, with a capability switched on for it.</summary>
    public static string Migrate(QemuMachine qemu, string? capability = null, string name = "stream")
    {
        var path = Path.Combine(qemu.Folder, name);
        SetCapability(qemu, capability, true);
        qemu.Command("migrate-set-parameters", new Dictionary<string, object?> { ["max-bandwidth"] = 1L << 40 });
        qemu.Command("migrate", new Dictionary<string, object?> { ["uri"] = $"exec:cat>{path}" });
        Wait(qemu);
        SetCapability(qemu, capability, false);
        return path;
    }

    public static void SetCapability(QemuMachine qemu, string? capability, bool on)
    {
        if (capability is not null)
        {
            qemu.Command("migrate-set-capabilities", new Dictionary<string, object?>
            {
                ["capabilities"] = new[] { new Dictionary<string, object?> { ["capability"] = capability, ["state"] = on } },
            });
        }
    }

    public static void Wait(QemuMachine qemu)
    {
        for (var waited = System.Diagnostics.Stopwatch.StartNew(); waited.Elapsed < Patience; Thread.Sleep(20))
        {
            var status = qemu.Command("query-migrate").TryGetProperty("status", out var text) ? text.GetString() : null;
            if (status == "completed")
                return;
            Assert.False(status is "failed" or "cancelled", $"migration {status}");
        }
        Assert.Fail("the migration did not end");
    }

    /// <summary>Compares a part of guest-physical memory with what pmemsave gives of the stopped guest.</summary>
    public static void AssertMemoryEqual(QemuMachine qemu, View view, ulong address, int length)
    {
        var expected = qemu.PhysicalBytes(address, length);
        var actual = new byte[length];
        Assert.Equal(length, view.Memory.Read(new PhysicalAddress(address), actual));
        var different = expected.AsSpan().CommonPrefixLength(actual);
        Assert.True(different == length, $"byte 0x{address + (ulong)different:x} differs");
    }
}
