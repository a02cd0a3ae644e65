using System.Text.Json;

namespace Forengate.Cli.Tests.Program;

/// <summary><c>forengate guests</c> by users of unlike rights, and that the right it names is the one that was lacking.</summary>
public sealed class GuestsRightsTests
{
    private const string Guest = "win-app";

    [Fact]
    public void Everybody_sees_what_his_rights_allow_and_reads_what_would_allow_more()
    {
        using var libvirt = SystemLibvirt.Start();
        var pid = libvirt.Define(Guest, "<source type='memfd'/><access mode='shared'/>");

        var root = Row(libvirt.AsRoot("guests", "--connect", "qemu:///system", "--output", "json").Done());
        Assert.Equal("expected", root.GetProperty("planSource").GetString());
        Assert.Contains(root.GetProperty("plan").GetString(), new[] { "background snapshot", "stop and copy", "not possible" });
        Assert.Equal(JsonValueKind.Null, root.GetProperty("memoryNeeds").ValueKind);

        // A member of libvirt's group: its memory by libvirt's word, no reading of QEMU.
        var group = libvirt.AsNobody(SystemLibvirt.Group, [], "guests", "--connect", "qemu:///system", "--output", "json").Done();
        var row = Row(group);
        Assert.Equal("unknown", row.GetProperty("plan").GetString());
        Assert.Equal(JsonValueKind.Null, row.GetProperty("monitorNeeds").ValueKind);
        Assert.Equal($"CAP_SYS_PTRACE, or the same user and group as QEMU (libvirt-qemu:libvirt-qemu)", Needs(row, "memoryNeeds").Replace(" with kernel.yama.ptrace_scope 0", "", StringComparison.Ordinal).Split(", to read")[0]);
        Assert.Contains($"PLAN of {Guest} need CAP_SYS_PTRACE", group.Reason, StringComparison.Ordinal);

        // Anybody: the read-only socket, and the line says which socket would do more.
        var anybody = libvirt.AsNobody(null, [], "guests", "--connect", "qemu:///system", "--output", "json").Done();
        Assert.StartsWith("libvirt's read-write socket", Needs(Row(anybody), "monitorNeeds"), StringComparison.Ordinal);
        Assert.Contains("group libvirt", anybody.Reason, StringComparison.Ordinal);

        foreach (var seen in new[] { root, row, Row(anybody) })
        {
            Assert.Equal(Guest, seen.GetProperty("name").GetString());
            Assert.Equal("running", seen.GetProperty("state").GetString());
            Assert.Equal((192, 512, 64), (seen.GetProperty("memoryMiB").GetInt32(), seen.GetProperty("maxMemoryMiB").GetInt32(), seen.GetProperty("pluggedMiB").GetInt32()));
            Assert.Equal(("memfd", 2), (seen.GetProperty("backend").GetString(), seen.GetProperty("numaNodes").GetInt32()));
            Assert.Equal(pid, seen.GetProperty("pid").GetInt32());
        }

        // What was lacking is said where it was asked for, and then the listing is not whole.
        var looked = libvirt.AsNobody(null, [], "guests", "--connect", "qemu:///system", "--windows", "--output", "json");
        Assert.Equal(3, looked.ExitCode);
        Assert.Contains("that needs libvirt's read-write socket", looked.Reason, StringComparison.Ordinal);

        // The rights named are enough: with each of them the very same user gets a plan, and QEMU's memory.
        var capable = Row(libvirt.AsNobody(SystemLibvirt.Group, ["--inh-caps", "+sys_ptrace", "--ambient-caps", "+sys_ptrace"], "guests", "--connect", "qemu:///system", "--output", "json").Done());
        Assert.Equal(root.GetProperty("plan").GetString(), capable.GetProperty("plan").GetString());
        var inside = libvirt.AsNobody(SystemLibvirt.Group, ["--inh-caps", "+sys_ptrace", "--ambient-caps", "+sys_ptrace"], "guests", "--connect", "qemu:///system", "--windows", "--output", "json");
        Assert.Equal("asked", Row(inside).GetProperty("planSource").GetString());
        Assert.Contains("no Windows kernel in this memory", inside.Reason, StringComparison.Ordinal);
        if (!File.Exists("/proc/sys/kernel/yama/ptrace_scope") || File.ReadAllText("/proc/sys/kernel/yama/ptrace_scope").Trim() == "0")
        {
            var same = Row(libvirt.AsUserOf(pid, SystemLibvirt.Group, "guests", "--connect", "qemu:///system", "--output", "json").Done());
            Assert.Equal(root.GetProperty("plan").GetString(), same.GetProperty("plan").GetString());
        }
    }

    private static JsonElement Row(ProgramOutcome outcome) => Assert.Single(outcome.Json.EnumerateArray());

    private static string Needs(JsonElement row, string field) => row.GetProperty(field).GetString()!;
}
