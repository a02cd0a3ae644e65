using System.IO.Compression;
using Forengate.Memory.Tests.Qemu;
using Forengate.Testing;
using Forengate.Testing.Hostile;

namespace Forengate.Memory.Tests.Migration;

/// <summary>Real streams of small guests, of QEMU 7.2 and 10: every register of both, whole, cut off and broken.</summary>
public sealed class MigrationCorpusTests
{
    private const string Pc72 = "qemu-7.2-pc";
    private const string Q35of10 = "qemu-10.0-q35";

    [Theory]
    [InlineData(Pc72, "pc-i440fx-7.2", 2, "none")]
    [InlineData("qemu-7.2-compress", "pc-i440fx-7.2", 1, "zlib")]
    [InlineData("qemu-7.2-numa-devices", "pc-q35-7.2", 2, "none")]
    [InlineData(Q35of10, "pc-q35-10.0", 2, "none")]
    [InlineData("qemu-10.0-virtio-mem", "pc-i440fx-10.0", 1, "none")]
    public void Every_register_is_found_by_the_description(string name, string machine, int cpus, string packing)
    {
        using var file = new TemporaryFile(Load(name), ".qevm");
        using var view = ImageReader.Open(file.Path);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal((machine, packing, cpus), (view.Origin.Machine, view.Origin.Packing, view.Cpus.Count));
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        AssertRegisters(view.Cpus[0]);
        // The stub's own bytes at their place: code, and the page tables that CR3 leads to.
        var code = new byte[16];
        Assert.True(view.Memory.TryRead(new PhysicalAddress(LongModeStub.Code), code));
        Assert.Equal(RegisterStub.Image()[..16], code);
        Assert.Equal(0x9000UL, new AddressSpace(view.Memory, view.Cpus[0].Cr3!.Value).Translate(new VirtualAddress(0x9000)).Address.Value);
    }

    /// <summary>QEMU writes the devices' state alone without a description: the same sections as in these streams, whose own descriptions put every register where it is found then.</summary>
    [Theory]
    [InlineData(Pc72, 2)]
    [InlineData("qemu-7.2-numa-devices", 2)]
    [InlineData(Q35of10, 2)]
    [InlineData("qemu-10.0-virtio-mem", 1)]
    public void Every_register_is_found_without_a_description(string name, int count)
    {
        var cpus = DeviceStateCpus.Read(Load(name), out var problem);
        Assert.Null(problem);
        Assert.Equal(count, cpus.Count);
        // CR8 stands in the section of the APIC, which is not looked for.
        AssertRegisters(cpus[0] with { Cr8 = RegisterStub.Cr8 });
    }

    [Theory]
    [InlineData(Pc72)]
    [InlineData(Q35of10)]
    public void Broken_device_state_is_read_as_far_as_it_is_right(string name)
    {
        var stream = Load(name);
        var state = stream[^Math.Min(stream.Length, 1 << 18)..];
        stream.AsSpan(0, MigrationLayout.HeaderSize).CopyTo(state);
        Assert.Equal(2, DeviceStateCpus.Read(state, out _).Count);
        for (var length = 0; length < state.Length; length += 61)
        {
            var cpus = DeviceStateCpus.Read(state.AsMemory(0, length), out var problem);
            Assert.Equal(cpus.Count == 0, problem is not null);
        }
        Bounded.Survives(state, 5, 200, bytes => DeviceStateCpus.Read(bytes, out _));
        // Another version is said, not guessed at.
        var header = state.AsSpan().IndexOf("\u0003cpu\0\0\0\0\0\0\0\u000C"u8);
        state[header + 11]++;
        Assert.Empty(DeviceStateCpus.Read(state, out var version));
        Assert.Contains("version 13", version, StringComparison.Ordinal);
    }

    [Fact]
    public void A_page_of_a_running_writer_is_put_together_from_its_changes()
    {
        using var file = new TemporaryFile(Load("qemu-7.2-xbzrle"), ".qevm");
        using var view = ImageReader.Open(file.Path);
        Assert.Equal("xbzrle", view.Origin.Packing);
        // The writer adds 1 to one word of each of eight pages, then the round's number to another: n and n(n+1)/2, whatever the round. The round it was stopped in has been begun.
        for (var page = 0x20000UL; page < 0x28000; page += 0x1000)
        {
            Assert.True(view.Memory.TryRead(new PhysicalAddress(page + 0x10), out ulong rounds));
            Assert.True(view.Memory.TryRead(new PhysicalAddress(page + 0x800), out ulong sum));
            Assert.True(rounds > 100);
            Assert.Contains(sum, new[] { rounds * (rounds + 1) / 2, rounds * (rounds - 1) / 2 });
        }
    }

    [Fact]
    public void Memory_devices_of_both_versions_lie_at_their_places()
    {
        using var old = new TemporaryFile(Load("qemu-7.2-numa-devices"), ".qevm");
        using var recent = new TemporaryFile(Load("qemu-10.0-virtio-mem"), ".qevm");
        using var view72 = ImageReader.Open(old.Path);
        using var view10 = ImageReader.Open(recent.Path);
        Assert.Contains(view72.Origin.Blocks, block => block.Name == "mem1" && block.Ranges.Single().Start.Value == 0x1_0000_0000);
        Assert.Contains(view72.Origin.Blocks, block => block.Name.EndsWith("/vm0", StringComparison.Ordinal) && block.PlacedBy.Contains("virtio-mem", StringComparison.Ordinal));
        Assert.Contains(view10.Origin.Blocks, block => block.Name.EndsWith("/vm0", StringComparison.Ordinal) && block.Ranges.Single().Start.Value == 0x1_0000_0000);
    }

    /// <summary>Whatever happened to RAM, the devices' state at the end is found by the description behind it.</summary>
    [Theory]
    [InlineData(Pc72)]
    [InlineData(Q35of10)]
    public void Registers_survive_damage_within_RAM(string name)
    {
        var bytes = Load(name);
        // The record of the page that CR3 points to: its head, not its bytes.
        var record = bytes.AsSpan().IndexOf((ReadOnlySpan<byte>)[0, 0, 0, 0, 0, (byte)(LongModeStub.Pml4 >> 16), 0, 0x28]);
        bytes.AsSpan(record, 8).Fill(0xEE);
        using var file = new TemporaryFile(bytes, ".qevm");
        using var view = ImageReader.Open(file.Path);
        Assert.NotEmpty(view.Origin.Damage);
        Assert.Equal(2, view.Cpus.Count);
        AssertRegisters(view.Cpus[0]);
    }

    [Theory]
    [InlineData(Pc72)]
    [InlineData("qemu-7.2-xbzrle")]
    [InlineData(Q35of10)]
    public void A_stream_cut_off_anywhere_is_read_as_far_as_it_goes(string name)
    {
        var bytes = Load(name);
        var known = -1L;
        for (var length = 16; length < bytes.Length; length += 1 + (bytes.Length / 97))
        {
            using var file = new TemporaryFile(bytes.AsSpan(0, length), ".qevm");
            try
            {
                using var view = ImageReader.Open(file.Path);
                Assert.True(view.Origin.Damage.Count != 0, $"nothing is said of a cut at {length} of {bytes.Length} bytes");
                Assert.Empty(view.Cpus);
                var readable = 0L;
                foreach (var range in view.Memory.Ranges)
                {
                    for (var at = range.Start; at < range.End; at += Page.Size)
                        readable += view.Memory.StateOf(at) == PageState.Missing ? 0 : 1;
                }
                Assert.True(readable >= known, $"{length} bytes give {readable} pages, fewer bytes gave {known}");
                known = readable;
            }
            catch (ImageFormatException refused)
            {
                Assert.Equal(-1, known);
                Assert.DoesNotContain('\n', refused.Message);
            }
        }
        Assert.True(known >= 256);
    }

    private static void AssertRegisters(CpuState cpu)
    {
        Assert.Equal(
            (RegisterStub.Star, RegisterStub.LStar, RegisterStub.CStar, RegisterStub.SfMask, RegisterStub.TscAux, RegisterStub.Pat),
            (cpu.Star!.Value, cpu.LStar!.Value, cpu.CStar!.Value, cpu.SfMask!.Value, cpu.TscAux!.Value, cpu.Pat!.Value));
        Assert.Equal(
            (RegisterStub.SysenterCs, RegisterStub.SysenterEsp, RegisterStub.SysenterEip, RegisterStub.Cr8, RegisterStub.Xcr0),
            (cpu.SysenterCs!.Value, cpu.SysenterEsp!.Value, cpu.SysenterEip!.Value, cpu.Cr8!.Value, cpu.Xcr0!.Value));
        Assert.Equal((0x4533333000UL, 0xFFFFF80722222000UL, 0x7FF711111111UL), (cpu.KernelGsBase!.Value, cpu.Gs!.Value.Base!.Value, cpu.Fs!.Value.Base!.Value));
        Assert.Equal((0xFFFFF80011110000UL, 0xFFFFF80044440000UL, 0x402UL), (cpu.Dr0!.Value, cpu.Dr3!.Value, cpu.Dr7!.Value));
        Assert.Equal((0xD00UL, LongModeStub.Pml4), (cpu.Efer!.Value & 0xD00, cpu.Cr3!.Value));
        Assert.Equal((0x027F, 0x1FA0U, 0b1110_0000), (cpu.Fcw!.Value, cpu.MxCsr!.Value, cpu.Ftw!.Value));
        Assert.Equal(Convert.FromHexString("0000000000000080FF3F"), cpu.St!.Value[..10].ToArray());
        byte[] vector = [.. cpu.Xmm!.Value.Slice(3 * 16, 16).Span, .. cpu.YmmHigh!.Value.Slice(3 * 16, 16).Span];
        Assert.Equal(RegisterStub.Vector(3), vector);
    }

    private static byte[] Load(string name)
    {
        using var stream = new GZipStream(File.OpenRead(Checkout.PathOf($"tests/corpus/qevm/{name}.qevm.gz")), CompressionMode.Decompress);
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }
}
