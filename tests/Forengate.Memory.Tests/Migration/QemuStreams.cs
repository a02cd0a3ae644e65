using System.Net.Sockets;
using Forengate.Memory.Tests.Qemu;

namespace Forengate.Memory.Tests.Migration;

/// <summary>Has QEMU write migration streams, and compares views of them with QEMU's own word.</summary>
internal static class QemuStreams
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Migrates a guest through a socket into a file, with a capability switched on for it and off again.</summary>
    public static string Migrate(QemuMachine qemu, string? capability = null, string name = "stream", Action? meanwhile = null, long bandwidth = 1L << 40)
    {
        var path = Path.Combine(qemu.Folder, name);
        var socket = path + ".socket";
        SetCapability(qemu, capability, true);
        qemu.Command("migrate-set-parameters", new Dictionary<string, object?> { ["max-bandwidth"] = bandwidth, ["downtime-limit"] = 1 });
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(socket));
        listener.Listen();
        var copying = Task.Run(() =>
        {
            using var connection = listener.Accept();
            using var from = new NetworkStream(connection);
            using var to = File.Create(path);
            from.CopyTo(to, 1 << 20);
        });
        qemu.Command("migrate", new Dictionary<string, object?> { ["uri"] = $"unix:{socket}" });
        meanwhile?.Invoke();
        Wait(qemu);
        Assert.True(copying.Wait(Patience), "QEMU did not close the stream");
        SetCapability(qemu, capability, false);
        File.Delete(socket);
        return path;
    }

    /// <summary>Stops the guest once some of its pages were sent again, so that the migration can end.</summary>
    /// <returns>False when the migration was done before any was.</returns>
    public static bool StopWhenPagesComeAgain(QemuMachine qemu, string? capability)
    {
        for (var waited = System.Diagnostics.Stopwatch.StartNew(); waited.Elapsed < Patience && !CameAgain(qemu, capability) && IsActive(qemu);)
            Thread.Sleep(20);
        var came = CameAgain(qemu, capability);
        qemu.Command("stop");
        return came;

        static bool IsActive(QemuMachine qemu) => qemu.Command("query-migrate").TryGetProperty("status", out var status) && status.GetString() is "setup" or "active" or "device";
    }

    /// <summary>True when a migration has sent pages again: as changes where it can.</summary>
    private static bool CameAgain(QemuMachine qemu, string? capability)
    {
        var state = qemu.Command("query-migrate");
        return capability == "xbzrle"
            ? state.TryGetProperty("xbzrle-cache", out var cache) && cache.GetProperty("pages").GetUInt64() > 0
            : state.TryGetProperty("ram", out var ram) && ram.GetProperty("dirty-sync-count").GetUInt64() >= 5;
    }

    /// <summary>Starts another QEMU that takes a stream in, and does not run it.</summary>
    public static QemuMachine Receive(string machine, string path, string? capability)
    {
        var rom = path + ".rom";
        File.WriteAllBytes(rom, LongModeStub.Rom());
        var qemu = QemuMachine.Start(machine, "-bios", rom, "-incoming", "defer", "-S");
        SetCapability(qemu, capability, true);
        qemu.Command("migrate-incoming", new Dictionary<string, object?> { ["uri"] = $"exec:cat {path}" });
        Wait(qemu);
        return qemu;
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
