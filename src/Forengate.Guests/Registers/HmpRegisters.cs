using System.Buffers.Binary;
using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// The text of HMP's <c>info registers -a</c> (QEMU, target/i386/cpu-dump.c): 64-bit and 32-bit forms, XMM, YMM or ZMM. What is missing or garbled stays unknown.
/// </summary>
internal static class HmpRegisters
{
    private const int MostCpus = 4096;
    private const int MostLines = MostCpus * 128;

    public static List<CpuState> Parse(string text)
    {
        var cpus = new List<CpuState>();
        HmpCpuText? current = null;
        var lines = 0;
        foreach (var range in text.AsSpan().Split('\n'))
        {
            if (++lines > MostLines)
                break;
            var line = text.AsSpan(range).Trim();
            if (line.StartsWith("CPU#", StringComparison.Ordinal))
            {
                if (current is not null)
                    cpus.Add(current.ToState(cpus.Count));
                if (cpus.Count >= MostCpus)
                    return cpus;
                current = new HmpCpuText();
            }
            else
            {
                // Without -a there is one CPU and no heading.
                if (current is null && line.Contains('='))
                    current = new HmpCpuText();
                current?.Add(line);
            }
        }
        if (current is not null)
            cpus.Add(current.ToState(cpus.Count));
        return cpus;
    }
}

/// <summary>One CPU's lines, taken apart into names and words of hexadecimal digits.</summary>
internal sealed class HmpCpuText
{
    private readonly Dictionary<string, List<string>> _values = new(StringComparer.Ordinal);

    /// <summary>Takes "NAME=word word NAME=word …" apart. A name is the text right before '='.</summary>
    public void Add(ReadOnlySpan<char> line)
    {
        List<string>? words = null;
        var at = 0;
        while (at < line.Length)
        {
            while (at < line.Length && (line[at] is ' ' or '[' or ']'))
                at++;
            var start = at;
            while (at < line.Length && line[at] is not (' ' or '=' or '[' or ']'))
                at++;
            var word = line[start..at];
            var next = at;
            while (next < line.Length && line[next] == ' ')
                next++;
            // "R8 =…" and "GS =…" have a space before the sign.
            if (next < line.Length && line[next] == '=' && word.Length > 0)
            {
                words = [];
                _values.TryAdd(word.ToString(), words);
                at = next + 1;
            }
            else if (word.Length > 0 && words is { Count: < 16 })
            {
                words.Add(word.ToString());
            }
            else if (word.Length == 0 && at < line.Length)
            {
                at++;
            }
        }
    }

    private ulong? Number(string name, int word = 0) =>
        _values.TryGetValue(name, out var words) && words.Count > word && ulong.TryParse(words[word], NumberStyles.AllowHexSpecifier, null, out var number) ? number : null;

    private ulong? Either(string wide, string narrow) => Number(wide) ?? Number(narrow);

    public CpuState ToState(int index) => new()
    {
        Index = index,
        Source = "HMP info registers",
        Rax = Either("RAX", "EAX"),
        Rbx = Either("RBX", "EBX"),
        Rcx = Either("RCX", "ECX"),
        Rdx = Either("RDX", "EDX"),
        Rsi = Either("RSI", "ESI"),
        Rdi = Either("RDI", "EDI"),
        Rsp = Either("RSP", "ESP"),
        Rbp = Either("RBP", "EBP"),
        R8 = Number("R8"),
        R9 = Number("R9"),
        R10 = Number("R10"),
        R11 = Number("R11"),
        R12 = Number("R12"),
        R13 = Number("R13"),
        R14 = Number("R14"),
        R15 = Number("R15"),
        Rip = Either("RIP", "EIP"),
        Rflags = Either("RFL", "EFL"),
        Cs = Segment("CS"),
        Ds = Segment("DS"),
        Es = Segment("ES"),
        Fs = Segment("FS"),
        Gs = Segment("GS"),
        Ss = Segment("SS"),
        Ldtr = Segment("LDT"),
        Tr = Segment("TR"),
        Gdtr = Table("GDT"),
        Idtr = Table("IDT"),
        Cr0 = Number("CR0"),
        Cr2 = Number("CR2"),
        Cr3 = Number("CR3"),
        Cr4 = Number("CR4"),
        Dr0 = Number("DR0"),
        Dr1 = Number("DR1"),
        Dr2 = Number("DR2"),
        Dr3 = Number("DR3"),
        Dr6 = Number("DR6"),
        Dr7 = Number("DR7"),
        Efer = Number("EFER"),
        Fcw = (ushort?)Number("FCW"),
        Fsw = StatusWord(),
        Ftw = (byte?)Number("FTW"),
        MxCsr = (uint?)Number("MXCSR"),
        St = FloatingPoint(),
        Xmm = Vectors(0),
        YmmHigh = Vectors(1),
    };

    private SegmentRegister? Segment(string name) => Number(name) is { } selector
        ? new SegmentRegister((ushort)selector, Number(name, 1), (uint?)Number(name, 2), (uint?)Number(name, 3))
        : null;

    private DescriptorTableRegister? Table(string name) => Number(name) is { } start && Number(name, 1) is { } limit
        ? new DescriptorTableRegister(start, (uint)limit)
        : null;

    /// <summary>QEMU prints the status word with its top of stack already in place.</summary>
    private ushort? StatusWord() => (ushort?)Number("FSW");

    /// <summary>QEMU numbers FPR0 to FPR7 by place; FXSAVE by distance from the top of the stack.</summary>
    private ReadOnlyMemory<byte>? FloatingPoint()
    {
        if (Number("ST") is not { } top)
            return null;
        var bytes = new byte[8 * 16];
        for (var i = 0; i < 8; i++)
        {
            var name = string.Create(null, $"FPR{((int)top + i) & 7}");
            if (Number(name) is not { } mantissa || Number(name, 1) is not { } exponent)
                return null;
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * 16), mantissa);
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(i * 16 + 8), (ushort)exponent);
        }
        return bytes;
    }

    /// <summary>The 128-bit lanes of all sixteen vector registers: lane 0 is XMM, lane 1 the upper half of YMM. Words stand with the highest first.</summary>
    private ReadOnlyMemory<byte>? Vectors(int lane)
    {
        var bytes = new byte[16 * 16];
        for (var i = 0; i < 16; i++)
        {
            var words = Lanes(i);
            var low = words is null ? -1 : words.Count - 1 - 2 * lane;
            if (low < 1
                || !ulong.TryParse(words![low], NumberStyles.AllowHexSpecifier, null, out var lowHalf)
                || !ulong.TryParse(words[low - 1], NumberStyles.AllowHexSpecifier, null, out var highHalf))
            {
                // A CPU caught in 32-bit code shows only the first eight.
                if (i >= 8 && words is null && lane == 0 && !_values.ContainsKey("RAX"))
                    continue;
                return null;
            }
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * 16), lowHalf);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * 16 + 8), highHalf);
        }
        return bytes;
    }

    private List<string>? Lanes(int register)
    {
        foreach (var kind in (ReadOnlySpan<string>)["XMM", "YMM", "ZMM"])
        {
            if (_values.TryGetValue(string.Create(null, $"{kind}{register:00}"), out var words))
                return words;
        }
        return null;
    }
}
