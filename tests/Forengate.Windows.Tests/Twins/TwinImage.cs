using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Forengate.Memory;
using Forengate.Testing;

namespace Forengate.Windows.Tests;

/// <summary>
/// Memory of twin guests, made by the lab's program when first asked for, kept for the run by its options, deleted at its end. The truth beside each comes from that program alone.
/// </summary>
internal sealed class TwinImage
{
    private static readonly string s_folder = MakeFolder();
    private static readonly ConcurrentDictionary<string, Lazy<TwinImage>> s_made = new();

    private readonly string _directory;

    private TwinImage(string options)
    {
        _directory = Path.Combine(s_folder, $"{s_made.Count}-{Guid.NewGuid():N}");
        Make(options, _directory);
        using var stream = File.OpenRead(Path.Combine(_directory, "truth.json"));
        Truth = JsonDocument.Parse(stream).RootElement.Clone();
        // Only the flat file is used here.
        foreach (var segment in Directory.EnumerateFiles(_directory, "segment-*.bin"))
            File.Delete(segment);
    }

    public JsonElement Truth { get; }

    public string RawPath => Path.Combine(_directory, "memory.raw");

    /// <summary>The twin made with these options of <c>twin make</c>.</summary>
    public static TwinImage Of(string options) => s_made.GetOrAdd(options, static o => new Lazy<TwinImage>(() => new TwinImage(o))).Value;

    /// <summary>Its memory with all CPUs' registers, or without.</summary>
    public View Open(bool registers = true)
    {
        var (size, low) = (Truth.GetProperty("memory").GetProperty("size").GetUInt64(), Truth.GetProperty("memory").GetProperty("lowSize").GetUInt64());
        var layout = $"0+{low}=0" + (size > low ? $",0x100000000+{size - low}=0x100000000" : "");
        var raw = ImageReader.Open(RawPath, new ImageOpenOptions { RawLayout = RawLayout.Parse(layout) });
        return new View(raw.Memory, registers ? Cpus() : [], new Consistency(ConsistencyLevel.Instant, "laid out, not captured"), raw.Origin, raw);
    }

    public IReadOnlyList<CpuState> Cpus() => [.. Truth.GetProperty("cpus").EnumerateArray().Select(cpu => Cpu(cpu.GetProperty("index").GetInt32(), cpu.GetProperty("registers")))];

    public static ulong Hex(JsonElement value) => value.ValueKind == JsonValueKind.Number
        ? value.GetUInt64()
        : ulong.Parse(value.GetString()!.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    private static CpuState Cpu(int index, JsonElement registers)
    {
        ulong Get(string name) => Hex(registers.GetProperty(name));
        SegmentRegister Segment(string name, ulong? start = null) => new((ushort)Get(name), start);
        return new CpuState
        {
            Index = index,
            Source = "truth",
            Cr0 = Get("cr0"),
            Cr3 = Get("cr3"),
            Cr4 = Get("cr4"),
            Efer = Get("efer"),
            LStar = Get("lStar"),
            CStar = Get("cStar"),
            Star = Get("star"),
            SfMask = Get("sfMask"),
            KernelGsBase = Get("kernelGsBase"),
            Rip = Get("rip"),
            Rsp = Get("rsp"),
            Rflags = Get("rflags"),
            Cs = Segment("cs"),
            Ss = Segment("ss"),
            Gs = Segment("gs", Get("gsBase")),
            Fs = Segment("fs", Get("fsBase")),
            Gdtr = new DescriptorTableRegister(Get("gdtBase"), (uint)Get("gdtLimit")),
            Idtr = new DescriptorTableRegister(Get("idtBase"), (uint)Get("idtLimit")),
        };
    }

    private static void Make(string options, string directory)
    {
        var configuration = new DirectoryInfo(AppContext.BaseDirectory).Name;
        var program = Checkout.PathOf(Path.Combine("artifacts", "bin", "Forengate.Lab", configuration, "twin.dll"));
        var start = new ProcessStartInfo("dotnet") { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (var argument in (string[])["exec", program, "make", directory, "--raw", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)])
            start.ArgumentList.Add(argument);
        using var process = System.Diagnostics.Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"twin make {options}: {errors}{output.Result}");
    }

    private static string MakeFolder()
    {
        var root = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();
        var folder = Path.Combine(root, $"forengate-windows-tests-{Environment.ProcessId}");
        Directory.CreateDirectory(folder);
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        return folder;
    }
}
