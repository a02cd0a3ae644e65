using System.Buffers.Binary;

namespace Forengate.Memory.Tests;

/// <summary>Writes ELF cores by hand, good ones and such as no program writes.</summary>
internal sealed class ElfCoreBuilder(bool is64 = true)
{
    private readonly List<(uint Type, ulong Physical, ulong FileSize, ulong MemorySize, ulong? Offset, byte[]? Data)> _segments = [];

    public ushort Machine { get; set; } = 62;

    public ushort Type { get; set; } = 4;

    public bool ManyHeaders { get; set; }

    public ElfCoreBuilder Load(ulong physical, byte[] data)
    {
        _segments.Add((1, physical, (ulong)data.Length, (ulong)data.Length, null, data));
        return this;
    }

    public ElfCoreBuilder LoadAt(ulong physical, ulong offset, ulong fileSize, ulong memorySize)
    {
        _segments.Add((1, physical, fileSize, memorySize, offset, null));
        return this;
    }

    public ElfCoreBuilder Notes(params byte[][] notes)
    {
        var data = notes.SelectMany(note => note).ToArray();
        _segments.Add((4, 0, (ulong)data.Length, (ulong)data.Length, null, data));
        return this;
    }

    public static byte[] Note(string name, uint type, byte[] description)
    {
        var padded = (name.Length + 1 + 3) & ~3;
        var note = new byte[12 + padded + ((description.Length + 3) & ~3)];
        BinaryPrimitives.WriteInt32LittleEndian(note, name.Length + 1);
        BinaryPrimitives.WriteInt32LittleEndian(note.AsSpan(4), description.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(note.AsSpan(8), type);
        System.Text.Encoding.ASCII.GetBytes(name).CopyTo(note, 12);
        description.CopyTo(note, 12 + padded);
        return note;
    }

    /// <summary>QEMU's note of a CPU whose rax is given.</summary>
    public static byte[] QemuNote(ulong rax, int size = 440, uint version = 1)
    {
        var state = new byte[size];
        BinaryPrimitives.WriteUInt32LittleEndian(state, version);
        BinaryPrimitives.WriteInt32LittleEndian(state.AsSpan(4), size);
        BinaryPrimitives.WriteUInt64LittleEndian(state.AsSpan(8), rax);
        if (size >= 440)
            BinaryPrimitives.WriteUInt64LittleEndian(state.AsSpan(432), 0x5555_0000_0000);
        return Note("QEMU", 0, state);
    }

    public static byte[] PrStatus64(uint pid, ulong rip)
    {
        var status = new byte[336];
        BinaryPrimitives.WriteUInt32LittleEndian(status.AsSpan(32), pid);
        BinaryPrimitives.WriteUInt64LittleEndian(status.AsSpan(112 + (16 * 8)), rip);
        return Note("CORE", 1, status);
    }

    public byte[] Build()
    {
        var headerSize = is64 ? 64 : 52;
        var segmentSize = is64 ? 56 : 32;
        var sectionSize = is64 ? 64 : 40;
        var dataAt = headerSize + (_segments.Count * segmentSize) + (ManyHeaders ? sectionSize : 0);
        var file = new byte[dataAt + _segments.Sum(segment => segment.Data?.Length ?? 0)];
        byte[] start = [0x7F, (byte)'E', (byte)'L', (byte)'F', is64 ? (byte)2 : (byte)1, 1, 1];
        start.CopyTo(file, 0);
        U16(16, Type);
        U16(18, Machine);
        Word(is64 ? 32 : 28, (ulong)headerSize);
        U16(is64 ? 54 : 42, (ushort)segmentSize);
        U16(is64 ? 56 : 44, ManyHeaders ? (ushort)0xFFFF : (ushort)_segments.Count);
        if (ManyHeaders)
        {
            var section = headerSize + (_segments.Count * segmentSize);
            Word(is64 ? 40 : 32, (ulong)section);
            U32(section + (is64 ? 44 : 28), (uint)_segments.Count);
        }
        var data = dataAt;
        var at = headerSize;
        foreach (var segment in _segments)
        {
            U32(at, segment.Type);
            Word(at + (is64 ? 8 : 4), segment.Offset ?? (ulong)data);
            Word(at + (is64 ? 24 : 12), segment.Physical);
            Word(at + (is64 ? 32 : 16), segment.FileSize);
            Word(at + (is64 ? 40 : 20), segment.MemorySize);
            at += segmentSize;
            if (segment.Data is { } bytes)
            {
                bytes.CopyTo(file, data);
                data += bytes.Length;
            }
        }
        return file;

        void U16(int where, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(where), value);
        void U32(int where, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(where), value);
        void Word(int where, ulong value)
        {
            if (is64)
                BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(where), value);
            else
                U32(where, (uint)value);
        }
    }
}
