using System.Reflection;
using Forengate.Engine.Tests.Families;
using Forengate.Memory;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Formats;

/// <summary>Guest memory as QEMU's <c>pmemsave</c> gives it, the registers of one image, and a twin's truth: what every other image of the same instant must show.</summary>
internal sealed class OneMemory : IDisposable
{
    /// <summary>Video memory and firmware: RAM blocks hold hidden bytes there, the flat view shows devices.</summary>
    private const ulong LegacyStart = 0xA_0000, LegacyEnd = 0x10_0000;

    /// <summary>Where registers come from differs, and is said.</summary>
    private static readonly string[] NotRegisters = [nameof(CpuState.Source), nameof(CpuState.Index)];

    private readonly MappedFile _raw;
    private readonly TwinTruth _truth;
    private readonly IReadOnlyList<CpuState> _cpus;

    /// <param name="raw">Flat from address 0.</param>
    /// <param name="reference">An image whose registers are right: QEMU's ELF core.</param>
    /// <param name="truth">The twin's.</param>
    public OneMemory(string raw, string reference, TwinTruth truth)
    {
        _raw = MappedFile.Open(raw);
        _truth = truth;
        using var view = ImageReader.Open(reference);
        _cpus = view.Cpus;
        Assert.Equal(truth.Cpus.Count, _cpus.Count);
    }

    /// <summary>Opens an image and compares every page of RAM, every register that both know, and the lists of processes and drivers.</summary>
    /// <param name="differences">Takes what differs.</param>
    /// <param name="name">The image, for people.</param>
    /// <param name="path">Its file.</param>
    /// <param name="registers">False for formats that carry none.</param>
    /// <param name="options">What must be said of the file.</param>
    public void Compare(Differences differences, string name, string path, bool registers = true, TargetOptions? options = null)
    {
        using var examination = Examination.Open(path, options ?? new TargetOptions(), null, TestContext.Current.CancellationToken);
        var view = examination.View;
        differences.None($"{name}, damage", view.Origin.Damage);
        Memory(differences, name, view.Memory);
        if (registers)
            Registers(differences, name, view.Cpus);
        if (examination.Windows.System is not { } system)
        {
            differences.Require($"{name}, Windows", false, examination.Windows.Reason ?? "not found");
            return;
        }
        TruthCheck.Kernel(differences, _truth, system);
        TruthCheck.Lists(differences, _truth, examination, name);
    }

    public void Dispose() => _raw.Dispose();

    /// <param name="except">Pages that may differ: what a dump's writer put there.</param>
    public void Memory(Differences differences, string name, PhysicalMemory memory, IReadOnlySet<ulong>? except = null)
    {
        var page = new byte[Page.Size];
        var wrong = 0;
        foreach (var run in _truth.Memory.Runs)
        {
            for (var at = run.FirstPage << Page.Shift; at < (run.FirstPage + run.Pages) << Page.Shift; at += Page.Size)
            {
                if (at is >= LegacyStart and < LegacyEnd || except?.Contains(at) == true)
                    continue;
                var expected = _raw.Span((long)at, Page.Size);
                if (memory.Read(new PhysicalAddress(at), page) == Page.Size && expected.SequenceEqual(page))
                    continue;
                if (wrong++ < 3)
                    differences.Require($"{name}, page 0x{at:x}", false, memory.StateOf(new PhysicalAddress(at)) is PageState.Present ? "has other bytes" : $"is {memory.StateOf(new PhysicalAddress(at))}");
            }
        }
        differences.Expect($"{name}, wrong pages", 0, wrong);
    }

    private void Registers(Differences differences, string name, IReadOnlyList<CpuState> cpus)
    {
        differences.Expect($"{name}, CPUs", _cpus.Count, cpus.Count);
        for (var i = 0; i < Math.Min(cpus.Count, _cpus.Count); i++)
        {
            foreach (var property in typeof(CpuState).GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(property => property.SetMethod is not null && !NotRegisters.Contains(property.Name)))
            {
                if (property.GetValue(_cpus[i]) is { } expected)
                    differences.Expect($"{name}, CPU {i}, {property.Name}", Plain(expected), property.GetValue(cpus[i]) is { } found ? Plain(found) : null);
            }
        }
    }

    private static object Plain(object value) => value is ReadOnlyMemory<byte> bytes ? Convert.ToHexString(bytes.Span) : value.ToString()!;
}
