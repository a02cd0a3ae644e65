using System.Globalization;
using System.Text.Json;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>A twin guest's image with its truth: memory as a raw file, registers as its boot plan sets them.</summary>
internal sealed class Twin : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly JsonDocument _truth;

    public Twin(params string[] options)
    {
        using var process = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(Checkout.PathOf("twin"), ["make", _folder["twin"], "--raw", .. options]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var errors = process.StandardError.ReadToEndAsync();
        _ = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, errors.Result);
        _truth = JsonDocument.Parse(File.ReadAllText(_folder["twin/truth.json"]));
    }

    public JsonElement Truth => _truth.RootElement;

    public string this[string name] => _folder[name];

    public static ulong Number(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number ? value.GetUInt64() : ulong.Parse(value.GetString().AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    /// <summary>The image with the CPUs' registers; vCPUs numbered backwards, as nothing says that they are numbered like processors.</summary>
    public View OpenView()
    {
        var memory = Truth.GetProperty("memory");
        var (size, low) = (Number(memory.GetProperty("size")), Number(memory.GetProperty("lowSize")));
        // The raw file is flat, so that the hole below 4 GiB is in it.
        var ranges = size > low ? $"0-{low},0x100000000+{size - low}=0x100000000" : $"0-{low}";
        var raw = ImageReader.Open(_folder["twin/memory.raw"], new ImageOpenOptions { RawLayout = RawLayout.Parse(ranges) });
        var cpus = Truth.GetProperty("cpus").EnumerateArray().Reverse().Select((cpu, index) => Cpu(cpu.GetProperty("registers"), index)).ToList();
        return new View(raw.Memory, cpus, new Consistency(ConsistencyLevel.Instant, "a twin at rest"), raw.Origin);
    }

    public static WindowsSystem Find(View view)
    {
        var search = WindowsSystem.Find(view, ProfileStore.Carried, TestContext.Current.CancellationToken);
        Assert.True(search.System is not null, search.Reason);
        return search.System!;
    }

    public void Dispose()
    {
        _truth.Dispose();
        _folder.Dispose();
    }

    private static CpuState Cpu(JsonElement r, int index)
    {
        ulong N(string name) => Number(r.GetProperty(name));
        SegmentRegister S(string name, ulong? b = null) => new((ushort)N(name), b);
        return new CpuState
        {
            Index = index,
            Rax = 0, Rbx = 0, Rcx = 0, Rdx = 0, Rsi = 0, Rdi = 0, Rbp = 0, R8 = 0, R9 = 0, R10 = 0, R11 = 0, R12 = N("r12"), R13 = N("r13"), R14 = N("r14"), R15 = N("r15"),
            Rip = N("rip"), Rsp = N("rsp"), Rflags = N("rflags"),
            Cs = S("cs"), Ss = S("ss"), Ds = S("ds"), Es = S("es"), Fs = S("fs", N("fsBase")), Gs = S("gs", N("gsBase")), Tr = S("trSelector"), Ldtr = S("ldtSelector"),
            Gdtr = new(N("gdtBase"), (uint)N("gdtLimit")), Idtr = new(N("idtBase"), (uint)N("idtLimit")),
            Cr0 = N("cr0"), Cr3 = N("cr3"), Cr4 = N("cr4"), Cr8 = N("cr8"), Efer = N("efer"), KernelGsBase = N("kernelGsBase"), Star = N("star"), LStar = N("lStar"), CStar = N("cStar"), SfMask = N("sfMask"),
        };
    }
}
