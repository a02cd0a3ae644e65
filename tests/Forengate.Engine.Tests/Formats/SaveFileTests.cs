using System.Text.Json.Nodes;
using Forengate.Lab.Machine;
using Forengate.Memory;
using Forengate.Testing;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Formats;

/// <summary>
/// Save files by real libvirt 9 and 11, and mapped-ram by QEMU 10: every image has the bytes, the registers and the lists of the ELF core and the pmemsave that were taken before, of the
/// same paused twin.
/// </summary>
public sealed class SaveFileTests
{
    private const int Megabytes = 128;
    private const string Name = "a-twin";

    /// <param name="format">As qemu.conf names it.</param>
    /// <param name="machine">QEMU's machine type.</param>
    /// <param name="newer">By libvirt 11 and QEMU 10.</param>
    [Theory]
    [InlineData("raw", "q35", false)]
    [InlineData("gzip", "pc", false)]
    [InlineData("bzip2", "pc", false)]
    [InlineData("xz", "pc", false)]
    [InlineData("lzop", "q35", false)]
    [InlineData("raw", "q35", true)]
    [InlineData("zstd", "q35", true)]
    [InlineData("sparse", "q35", true)]
    public void A_save_file_holds_what_the_guest_held(string format, string machine, bool newer)
    {
        using var saved = new Saved(machine, $"save_image_format = \"{format}\"", newer);
        var path = saved.In("save");
        LibvirtDomain.Virsh(saved.Uri, ["save", Name, path]);

        using (var view = ImageReader.Open(path))
        {
            Assert.Equal(format == "sparse" ? "libvirt save file (sparse)" : "libvirt save file", view.Origin.Format);
            Assert.Equal("libvirt, QEMU", view.Origin.Producer);
            Assert.Equal(Name, view.Origin.GuestName);
            Assert.StartsWith("<domain type='qemu'", view.Origin.DomainXml, StringComparison.Ordinal);
            Assert.Contains(machine == "pc" ? "pc-i440fx-" : "pc-q35-", view.Origin.Machine, StringComparison.Ordinal);
            Assert.Equal(format is "raw" or "sparse" ? "none" : format, view.Origin.Packing);
            Assert.Equal((ulong)new FileInfo(path).Length, view.Origin.FileBytes);
            Assert.Contains("the guest was paused when it was saved", view.Origin.Remarks);
            Assert.Equal(
                format is "gzip" or "bzip2" or "xz" or "zstd" ? 1 : 0,
                view.Origin.Remarks.Count(remark => remark.Contains("can't be read at random", StringComparison.Ordinal) && remark.StartsWith(format, StringComparison.Ordinal)));
        }
        saved.Compare($"virsh save, {format}", path);
        if (format is "raw" or "sparse")
            saved.CompareCutShort(path);
    }

    /// <summary>Without --memory-only, <c>virsh dump</c> writes QEMU's stream and nothing before it, packed as a whole where qemu.conf says so.</summary>
    [Theory]
    [InlineData("gzip")]
    [InlineData("lzop")]
    public void A_packed_dump_holds_what_the_guest_held(string format)
    {
        using var saved = new Saved("pc", $"dump_image_format = \"{format}\"", newer: false);
        var path = saved.In("dump");
        LibvirtDomain.Virsh(saved.Uri, ["dump", Name, path]);
        using (var view = ImageReader.Open(path))
        {
            Assert.Equal("QEMU migration stream", view.Origin.Format);
            Assert.Equal(format, view.Origin.Packing);
        }
        saved.Compare($"virsh dump, {format}", path);
    }

    [Theory]
    [InlineData("pc")]
    [InlineData("q35")]
    public void Mapped_ram_holds_what_the_guest_held(string machine)
    {
        NewerSystem.Require();
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        using var twin = TwinGuest.Start(Image, new MachineOptions { Machine = machine, Qemu = NewerSystem.Qemu(folder) });
        twin.StopAndReadRegisters();
        using (var monitor = twin.Machine.OpenMonitor())
        {
            monitor.Hmp($"pmemsave 0 {twin.Truth.Memory.Size} \"{In("memory.raw")}\"");
            monitor.Execute("dump-guest-memory", new JsonObject { ["paging"] = false, ["protocol"] = $"file:{In("elf")}" }, TimeSpan.FromMinutes(2));
            monitor.Execute("migrate-set-capabilities", new JsonObject
            {
                ["capabilities"] = new JsonArray(new JsonObject { ["capability"] = "mapped-ram", ["state"] = true }),
            });
            monitor.Execute("migrate", new JsonObject { ["uri"] = $"file:{In("mapped")}" });
            while (monitor.Execute("query-migrate").GetProperty("status").GetString() is var status && status != "completed")
            {
                Assert.NotEqual("failed", status);
                Thread.Sleep(20);
            }
        }
        using var saved = new Saved(folder, twin);
        saved.Compare("mapped-ram", In("mapped"));
        using var view = ImageReader.Open(In("mapped"));
        Assert.Equal("none", view.Origin.Packing);
        // Pages lie side by side in the file: they are handed out uncopied, many at a time.
        var truth = twin.Truth.Memory.Runs[^1];
        var last = new PhysicalAddress((truth.FirstPage + truth.Pages - 1) << Page.Shift);
        var run = view.Memory.Ranges.SelectMany(range => Runs(view.Memory, range)).Where(run => run.State == PageState.Present).MaxBy(run => run.Range.Length);
        Assert.InRange(run.Range.Length, 2UL * Page.Size, last.Value);
        Assert.Equal((int)Math.Min(run.Range.Length, 1 << 20), view.Memory.Map(run.Range.Start, 1 << 20).Length);
    }

    /// <summary>A machine with a DIMM and a virtio-mem device: their places come from the XML (the latter's from libvirt 9.4 on) or from the stream; either way they must be QEMU's own.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_devices_lie_where_QEMU_has_them(bool newer)
    {
        const ulong Dimm = 1UL << 32, DimmSize = 128UL << 20;
        if (newer)
            NewerSystem.Require();
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        var noise = new byte[1 << 20];
        new Random(9).NextBytes(noise);
        File.WriteAllBytes(In("noise"), noise);
        File.WriteAllText(
            In("domain.xml"),
            $"""
            <domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
              <name>{Name}</name><maxMemory slots='4' unit='MiB'>1024</maxMemory><memory unit='MiB'>384</memory><vcpu>1</vcpu>
              <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/><apic/></features>
              <cpu><numa><cell id='0' cpus='0' memory='128' unit='MiB'/></numa></cpu>
              <devices>
                <controller type='usb' model='none'/><memballoon model='none'/>
                <memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>
                <memory model='virtio-mem'><target><size unit='MiB'>128</size><node>0</node><block unit='MiB'>2</block><requested unit='MiB'>0</requested></target></memory>
              </devices>
              <qemu:commandline><qemu:arg value='-device'/><qemu:arg value='loader,file={In("noise")},addr=0x{Dimm + (3 << 20):x},force-raw=on'/></qemu:commandline>
            </domain>
            """);
        string devices;
        using (var daemon = LibvirtDaemon.Start(In("lv"), "", newer ? NewerSystem.Runner : []))
        {
            LibvirtDomain.Virsh(daemon.Uri, ["create", In("domain.xml")]);
            LibvirtDomain.Virsh(daemon.Uri, ["suspend", Name]);
            LibvirtDomain.Virsh(daemon.Uri, ["qemu-monitor-command", Name, "--hmp", $"pmemsave 0x{Dimm:x} 0x{DimmSize:x} \"{In("dimm.raw")}\""]);
            devices = LibvirtDomain.Virsh(daemon.Uri, ["qemu-monitor-command", Name, "--hmp", "info memory-devices"]);
            LibvirtDomain.Virsh(daemon.Uri, ["save", Name, In("save")]);
        }

        using (var view = ImageReader.Open(In("save")))
        {
            Assert.Empty(view.Origin.Damage);
            Assert.Contains("memdimm0", devices, StringComparison.Ordinal);
            var dimm = view.Origin.Blocks.Single(block => block.Name == "memdimm0");
            Assert.Equal([new PhysicalRange(new PhysicalAddress(Dimm), DimmSize)], dimm.Ranges);
            Assert.Equal("domain XML", dimm.PlacedBy);
            var expected = File.ReadAllBytes(In("dimm.raw"));
            Assert.True(expected.AsSpan(3 << 20, noise.Length).SequenceEqual(noise));
            var actual = new byte[expected.Length];
            Assert.Equal(actual.Length, view.Memory.Read(new PhysicalAddress(Dimm), actual));
            Assert.True(expected.AsSpan().SequenceEqual(actual));
            // Nothing of it is plugged: wherever it is said to lie, no page of it may be passed off as memory.
            var plugged = view.Origin.Blocks.Single(block => block.Name.EndsWith("memvirtiomem0", StringComparison.Ordinal));
            foreach (var range in plugged.Ranges)
                Assert.NotEqual(PageState.Present, view.Memory.StateOf(range.Start));
        }
        Directory.Delete(folder, recursive: true);
    }

    private static string Image => TwinImages.Get("--build", "19041", "--cpus", "2", "--cpu-modes", "mixed", "--memory", $"{Megabytes}");

    private static IEnumerable<PageRun> Runs(PhysicalMemory memory, PhysicalRange range)
    {
        for (var at = range.Start; at < range.End;)
        {
            var run = memory.RunAt(at, range.End - at);
            yield return run;
            at = run.Range.End;
        }
    }

    /// <summary>A paused twin under a libvirt of its own, and what is true of it: taken before it is saved, because saving ends it.</summary>
    private sealed class Saved : IDisposable
    {
        private readonly LibvirtDaemon? _daemon;
        private readonly TwinGuest _twin;
        private readonly string _folder;

        public Saved(string machine, string settings, bool newer)
        {
            if (newer)
                NewerSystem.Require();
            _folder = TwinFolders.New();
            _daemon = LibvirtDaemon.Start(In("lv"), settings, newer ? NewerSystem.Runner : []);
            try
            {
                _twin = TwinGuest.Start(Image, new MachineOptions { LibvirtUri = _daemon.Uri, Name = Name, Machine = machine });
            }
            catch
            {
                _daemon.Stop();
                throw;
            }
            LibvirtDomain.Virsh(Uri, ["suspend", Name]);
            _twin.Machine.Hmp($"pmemsave 0 {_twin.Truth.Memory.Size} \"{In("memory.raw")}\"");
            LibvirtDomain.Virsh(Uri, ["dump", Name, In("elf"), "--memory-only", "--format", "elf"]);
        }

        public Saved(string folder, TwinGuest twin)
        {
            _folder = folder;
            _twin = twin;
        }

        public string Uri => _daemon!.Uri;

        public string In(string name) => Path.Combine(_folder, name);

        public void Compare(string what, string path)
        {
            var differences = new Differences();
            using (var memory = new OneMemory(In("memory.raw"), In("elf"), _twin.Truth))
                memory.Compare(differences, what, path);
            differences.AssertNone();
        }

        /// <summary>A file that ends early, and one that libvirt did not finish: what is there is right, what is not is missing, and both are said.</summary>
        public void CompareCutShort(string path)
        {
            var part = In("part");
            File.Copy(path, part);
            using (var stream = new FileStream(part, FileMode.Open, FileAccess.ReadWrite))
            {
                stream.SetLength(stream.Length / 2);
                stream.Write("LibvirtQemudPart"u8);
            }
            using var view = ImageReader.Open(part);
            Assert.Contains(view.Origin.Damage, line => line.Contains("LibvirtQemudPart", StringComparison.Ordinal));
            Assert.True(view.Origin.Damage.Count > 1, string.Join('\n', view.Origin.Damage));
            using var raw = MappedFile.Open(In("memory.raw"));
            var (page, there, missing) = (new byte[Page.Size], 0, 0);
            for (ulong at = 1 << 20; at < (ulong)raw.Length; at += Page.Size)
            {
                if (view.Memory.Read(new PhysicalAddress(at), page) == 0)
                    missing++;
                else
                {
                    there++;
                    Assert.True(raw.Span((long)at, Page.Size).SequenceEqual(page), $"page 0x{at:x} differs");
                }
            }
            Assert.True(there > 100 && missing > 100, $"{there} pages are there, {missing} missing");
        }

        public void Dispose()
        {
            _twin.Dispose();
            _daemon?.Stop();
            Directory.Delete(_folder, recursive: true);
        }
    }
}
