using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory;

/// <summary>Walks through the sections of a migration stream: configuration, RAM, the devices' state, the description of it.</summary>
internal sealed class MigrationParser
{
    /// <summary>A machine type's name.</summary>
    private const int LongestMachine = 256;

    private const int MostCapabilities = 256;

    /// <summary>A device whose state is kept is never larger: a CPU with nested virtualization has some 10 KiB, a virtio-mem device one bit for each of its blocks.</summary>
    private const int LargestKept = 1 << 20;

    private const int MostSections = 1 << 20;

    private static readonly byte[] FirstBytes =
    [
        MigrationLayout.EndOfFile, MigrationLayout.SectionStart, MigrationLayout.SectionPart, MigrationLayout.SectionEnd, MigrationLayout.SectionFull, MigrationLayout.Description,
        MigrationLayout.Command,
    ];

    private readonly ImageLimits _limits;
    private readonly RamSection _ram;
    private readonly Dictionary<uint, string> _iterative = [];
    private readonly IReadOnlyDictionary<long, long>? _known;
    private int _ramParts;
    private long _keptBytes;

    /// <param name="limits">Bounds on what is believed.</param>
    /// <param name="report">Told the position now and then; may throw <see cref="OperationCanceledException"/>.</param>
    /// <param name="known">Bodies of ram sections that an index already has: from, to.</param>
    /// <param name="stream">Filled so far by that index; null: nothing is known yet.</param>
    /// <param name="budget">Charged for the index.</param>
    public MigrationParser(ImageLimits limits, Action<long> report, IndexBudget budget, MigrationStream? stream = null, IReadOnlyDictionary<long, long>? known = null)
    {
        _limits = limits;
        _known = known;
        Stream = stream ?? new MigrationStream();
        _ram = new RamSection(Stream, limits, budget, report);
    }

    public MigrationStream Stream { get; }

    /// <summary>Reads a stream from its first byte to its end, or as far as it can be understood.</summary>
    /// <exception cref="ImageFormatException">It is no migration stream, or asks for more than the limits allow.</exception>
    public void Read(MigrationInput input)
    {
        if (!input.TryReadUInt32(out var magic) || magic != MigrationLayout.Magic || !input.TryReadUInt32(out var version))
            throw new ImageFormatException("it is no migration stream: the signature QEVM is missing");
        if (version != MigrationLayout.Version)
            throw new ImageFormatException($"it is a migration stream of version {version}; only version {MigrationLayout.Version} (QEMU 0.9.1 and later) is read");
        if (input.End != long.MaxValue)
            FindDescription(input);

        for (var sections = 0; ReadSection(ref input, out var went); sections++)
        {
            if (!went || sections == MostSections)
            {
                Recover(input);
                break;
            }
        }
        foreach (var block in Stream.Blocks)
            block.Index.Seal();
    }

    /// <summary>Reads one section.</summary>
    /// <param name="input">Changed for the rest of the stream, in memory, when RAM ends in a stream that can't go back.</param>
    /// <param name="went">False when it could not be understood.</param>
    /// <returns>False at the stream's end.</returns>
    private bool ReadSection(ref MigrationInput input, out bool went)
    {
        went = true;
        var at = input.Position;
        var head = input.Peek(1);
        if (head.Length == 0)
        {
            Stream.AddDamage($"the stream ends at 0x{at:x} without its end mark: was it cut off, or still being written?");
            return false;
        }
        switch (head[0])
        {
            case MigrationLayout.Configuration:
                input.Skip(1);
                went = ReadConfiguration(input);
                return true;
            case MigrationLayout.SectionFull when _ramParts > 0 && !Stream.RamEnded:
                // A background snapshot does not end RAM by a section of its own: the devices follow it at once.
                EndRam(ref input);
                went = ReadNamed(input, full: true);
                return true;
            case MigrationLayout.SectionStart or MigrationLayout.SectionFull:
                went = ReadNamed(input, head[0] == MigrationLayout.SectionFull);
                return true;
            case MigrationLayout.SectionPart or MigrationLayout.SectionEnd:
                went = ReadPart(ref input, head[0] == MigrationLayout.SectionEnd);
                return true;
            case MigrationLayout.Command:
                went = ReadCommand(input);
                return true;
            case MigrationLayout.EndOfFile:
                Stream.Ended = true;
                if (Stream.Descriptions is null && input.Peek(2) is [_, MigrationLayout.Description])
                    Stream.AddDamage($"the description of the devices, at 0x{at + 1:x}, is cut off or broken: the CPUs' registers can't be located");
                return false;
            default:
                Stream.AddDamage($"at 0x{at:x} stands 0x{head[0]:x2}, which begins no section: the stream is damaged from there on");
                went = false;
                return true;
        }
    }

    private bool ReadConfiguration(MigrationInput input)
    {
        if (!input.TryReadUInt32(out var length) || length > LongestMachine || input.Peek((int)length) is var name && name.Length < length)
            return Broken($"the configuration section at 0x{input.Position:x} claims a machine type of {length} bytes: the stream is damaged");
        Stream.Machine = MigrationStream.Printable(Encoding.Latin1.GetString(name));
        input.Skip((int)length);
        while (input.Peek(1) is [MigrationLayout.Subsection])
        {
            input.Skip(1);
            if (!input.TryReadName(out var subsection) || !input.TryReadUInt32(out _) || !ReadConfigurationPart(input, subsection))
                return false;
        }
        return true;
    }

    private bool ReadConfigurationPart(MigrationInput input, string name)
    {
        switch (name)
        {
            case "configuration/target-page-bits":
                if (!input.TryReadUInt32(out var bits))
                    return false;
                if (bits != MigrationLayout.PageBits)
                    throw new ImageFormatException($"the migration stream is of a machine with pages of 2^{bits} bytes, no PC");
                return true;
            case "configuration/capabilities":
                if (!input.TryReadUInt32(out var count) || count > MostCapabilities)
                    return Broken($"the configuration claims {count} capabilities: the stream is damaged");
                for (var i = 0; i < count; i++)
                {
                    if (!input.TryReadName(out var capability))
                        return false;
                    Stream.Capabilities.Add(capability);
                }
                return true;
            case "configuration/uuid":
                var uuid = input.Peek(16);
                if (uuid.Length < 16)
                    return false;
                Stream.Uuid = new Guid(uuid, bigEndian: true);
                return input.Skip(16);
            default:
                // A newer QEMU's: its description says how long it is.
                return (Stream.Descriptions?.Configuration?.Subsections.Find(part => part.StructName == name)?.StructBytes is { } size && input.Skip(size))
                    || Broken($"the configuration has a part '{name}' that is not known and not described: a newer QEMU wrote the stream");
        }
    }

    /// <summary>A section that begins with its device's name: the first of an iterative one, or a whole one.</summary>
    private bool ReadNamed(MigrationInput input, bool full)
    {
        var at = input.Position;
        input.Skip(1);
        if (!input.TryReadUInt32(out var id) || !input.TryReadName(out var name) || !input.TryReadUInt32(out var instance) || !input.TryReadUInt32(out var version))
            return Broken($"the stream ends within the head of a section, at 0x{at:x}");
        if (full)
            return ReadDevice(input, id, name, instance, version, at);
        _iterative[id] = name;
        if (_iterative.Count > _limits.Blocks)
            return Broken($"the stream has more than {_limits.Blocks} sections that go on: it is damaged");
        if (!name.AsSpan().SequenceEqual("ram"))
            return SkipUnknown(input, id, name, at);
        return version == MigrationLayout.RamVersion
            ? ReadRam(input) && ReadFooter(input, id)
            : throw new ImageFormatException($"the migration stream has RAM in a section of version {version}; version {MigrationLayout.RamVersion} is read");
    }

    private bool ReadPart(ref MigrationInput input, bool last)
    {
        var at = input.Position;
        input.Skip(1);
        if (!input.TryReadUInt32(out var id))
            return Broken($"the stream ends within the head of a section, at 0x{at:x}");
        if (!_iterative.TryGetValue(id, out var name))
            return Broken($"at 0x{at:x} goes on a section {id} that never began: the stream is damaged from there on");
        if (name != "ram")
            return SkipUnknown(input, id, name, at);
        if (!ReadRam(input) || !ReadFooter(input, id))
            return false;
        _ramParts++;
        if (last)
            EndRam(ref input);
        return true;
    }

    private void EndRam(ref MigrationInput input)
    {
        Stream.RamEnded = true;
        if (input is not ForwardInput forward)
            return;
        var rest = forward.TakeRest(_limits.DocumentBytes, out var whole);
        if (!whole)
            Stream.Remarks.Add($"what follows the RAM is more than {_limits.DocumentBytes >> 20} MiB: the rest was not read");
        input = rest;
        FindDescription(input);
    }

    private bool ReadRam(MigrationInput input)
    {
        var from = input.Position;
        if (_known is not null)
            return (_known.TryGetValue(from, out var to) && input.TrySeek(to)) || Broken($"the kept index does not fit the stream at 0x{from:x}");
        if (!_ram.Read(input))
            return false;
        Stream.RamParts.Add((from, input.Position));
        return true;
    }

    /// <summary>Old machine types have no footers; where one stands it must be the section's.</summary>
    private bool ReadFooter(MigrationInput input, uint id)
    {
        var footer = input.Peek(MigrationLayout.FooterSize);
        if (footer.Length == 0 || footer[0] != MigrationLayout.Footer)
            return true;
        return IsFooter(footer, id)
            ? input.Skip(MigrationLayout.FooterSize)
            : Broken($"the footer at 0x{input.Position:x} is of another section: the stream is damaged from there on");
    }

    private static bool IsFooter(ReadOnlySpan<byte> bytes, uint id) =>
        bytes.Length >= MigrationLayout.FooterSize && bytes[0] == MigrationLayout.Footer && BinaryPrimitives.ReadUInt32BigEndian(bytes[1..]) == id;

    private bool ReadDevice(MigrationInput input, uint id, string name, uint instance, uint version, long at)
    {
        var from = input.Position;
        if (Stream.Descriptions?.Take(name, instance) is { Size: { } size } && size <= input.LongestPeek - MigrationLayout.FooterSize)
        {
            var bytes = input.Peek((int)size + MigrationLayout.FooterSize);
            if (bytes.Length >= size && (bytes.Length == size || bytes[(int)size] != MigrationLayout.Footer || IsFooter(bytes[(int)size..], id)) && StartsSection(bytes[(int)size..]))
            {
                Keep(name, instance, version, bytes[..(int)size]);
                input.Skip(size);
                return ReadFooter(input, id);
            }
        }
        if (!SkipUnknown(input, id, name, at))
            return false;
        if (input.Position - from is var length && length <= LargestKept + MigrationLayout.FooterSize && input.Position != from && input is not ForwardInput)
        {
            var end = input.Position;
            input.TrySeek(from);
            Keep(name, instance, version, input.Peek((int)length - MigrationLayout.FooterSize));
            input.TrySeek(end);
        }
        return true;
    }

    private static bool StartsSection(ReadOnlySpan<byte> bytes) => bytes.Length == 0 || bytes[0] == MigrationLayout.Footer || FirstBytes.AsSpan().Contains(bytes[0]);

    private void Keep(string name, uint instance, uint version, ReadOnlySpan<byte> state)
    {
        if (!MigrationDevices.IsWanted(name) || state.Length > LargestKept || (_keptBytes += state.Length) > _limits.DocumentBytes || Stream.Devices.Count > _limits.Cpus * 4)
            return;
        Stream.Devices.Add(new DeviceSection(name, instance, version, state.ToArray()));
    }

    /// <summary>Goes past a section whose length nothing tells: to the next footer of its own that another section follows.</summary>
    private bool SkipUnknown(MigrationInput input, uint id, string name, long at)
    {
        Span<byte> footer = stackalloc byte[MigrationLayout.FooterSize];
        footer[0] = MigrationLayout.Footer;
        BinaryPrimitives.WriteUInt32BigEndian(footer[1..], id);
        const int Window = 128 << 10;
        while (true)
        {
            var bytes = input.Peek(Window);
            var found = bytes.IndexOf(footer);
            if (found >= 0)
            {
                input.Skip(found);
                var behind = input.Peek(MigrationLayout.FooterSize + MigrationLayout.MostFullHeaderSize)[MigrationLayout.FooterSize..];
                input.Skip(MigrationLayout.FooterSize);
                if (IsSectionHead(behind))
                    return true;
                continue;
            }
            if (bytes.Length < Window)
                return Broken($"the section '{name}' at 0x{at:x} has no end: the stream is cut off or damaged there");
            input.Skip(bytes.Length - (MigrationLayout.FooterSize - 1));
        }
    }

    /// <summary>True for what may follow a section: a stricter look than a single byte.</summary>
    private bool IsSectionHead(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length == 0)
            return true;
        switch (bytes[0])
        {
            case MigrationLayout.EndOfFile or MigrationLayout.Command:
                return bytes.Length < 2 || bytes[0] == MigrationLayout.Command || bytes[1] is MigrationLayout.Description or 0;
            case MigrationLayout.SectionPart or MigrationLayout.SectionEnd:
                return bytes.Length >= MigrationLayout.PartHeaderSize && _iterative.ContainsKey(BinaryPrimitives.ReadUInt32BigEndian(bytes[1..]));
            case MigrationLayout.SectionStart or MigrationLayout.SectionFull:
                const int NameAt = 5;
                return bytes.Length > NameAt && bytes[NameAt] != 0 && bytes.Length >= NameAt + 1 + bytes[NameAt] + 8
                    && !bytes.Slice(NameAt + 1, bytes[NameAt]).ContainsAnyExceptInRange((byte)' ', (byte)'~');
            default:
                return false;
        }
    }

    private bool ReadCommand(MigrationInput input)
    {
        var at = input.Position;
        input.Skip(1);
        if (!input.TryReadUInt16(out var command) || !input.TryReadUInt16(out var length))
            return Broken($"the stream ends within a command, at 0x{at:x}");
        // What a package holds are sections like all others.
        return input.Skip(length) || Broken($"the stream ends within command {command}, at 0x{at:x}");
    }

    private void FindDescription(MigrationInput input)
    {
        var here = input.Position;
        var from = Math.Max(here, input.End - _limits.DocumentBytes);
        input.TrySeek(from);
        Stream.Descriptions = DeviceDescriptions.Find(input.Peek((int)(input.End - from)), out _);
        input.TrySeek(here);
    }

    /// <summary>
    /// After damage: the devices' state lies before the description at the end, one section behind the other, so it can be found from there, whatever happened to the RAM.
    /// </summary>
    private void Recover(MigrationInput input)
    {
        if (Stream.Descriptions is not { } descriptions || input.LongestPeek != int.MaxValue)
            return;
        foreach (var device in descriptions.Devices)
        {
            if (!MigrationDevices.IsWanted(device.Name) || device.Size is not { } size || size > LargestKept || device.Name.Length > byte.MaxValue)
                continue;
            if (Stream.Devices.Exists(kept => kept.Name == device.Name && kept.Instance == device.Instance))
                continue;
            if (TryFindDevice(input, device, (int)size, out var state))
                Keep(device.Name, device.Instance, device.Version, state);
        }
    }

    private bool TryFindDevice(MigrationInput input, DeviceDescription device, int size, out ReadOnlySpan<byte> state)
    {
        state = default;
        Span<byte> head = stackalloc byte[1 + byte.MaxValue + 8];
        head[0] = (byte)device.Name.Length;
        var length = 1 + Encoding.Latin1.GetBytes(device.Name, head[1..]);
        BinaryPrimitives.WriteUInt32BigEndian(head[length..], device.Instance);
        BinaryPrimitives.WriteUInt32BigEndian(head[(length + 4)..], device.Version);
        head = head[..(length + 8)];
        var from = Math.Max(input.Position, input.End - _limits.DocumentBytes);
        if (!input.TrySeek(from))
            return false;
        var tail = input.Peek((int)(input.End - from));
        var at = tail.LastIndexOf(head);
        const int IdAndMark = 5;
        if (at < IdAndMark || tail[at - IdAndMark] != MigrationLayout.SectionFull || at + head.Length + size > tail.Length)
            return false;
        var id = BinaryPrimitives.ReadUInt32BigEndian(tail[(at - sizeof(uint))..]);
        state = tail.Slice(at + head.Length, size);
        return IsFooter(tail[(at + head.Length + size)..], id);
    }

    private bool Broken(string what)
    {
        Stream.AddDamage(what);
        return false;
    }
}
