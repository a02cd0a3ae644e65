using System.Buffers.Binary;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>
/// One structure on its way into guest memory: fields are set by name through the build's type table, then all is stored at once. A field the table does not
/// have is refused, unless it is set by one of the <c>...Where</c> calls, which are for fields only some builds have.
/// </summary>
internal sealed class StructWriter
{
    private readonly KernelTables _tables;
    private readonly string _type;
    private readonly byte[] _bytes;

    /// <param name="address">Where it will lie: list heads point to themselves.</param>
    /// <param name="size">Bytes to store, when more (or fewer) than the structure has.</param>
    public StructWriter(KernelTables tables, string type, ulong address, int size = 0)
    {
        _tables = tables;
        _type = type;
        Address = address;
        _bytes = new byte[size > 0 ? size : tables.SizeOf(type)];
    }

    public ulong Address { get; }
    public int Size => _bytes.Length;
    public Span<byte> Bytes => _bytes;

    public bool Has(string path) => _tables.HasField(_type, path);

    public int OffsetOf(string path) => _tables.OffsetOf(_type, path);

    public ulong AddressOf(string path) => Address + (ulong)OffsetOf(path);

    public StructWriter Set(string path, ulong value)
    {
        Store(_tables.Field(_type, path), value);
        return this;
    }

    public StructWriter SetWhere(string path, ulong value)
    {
        if (_tables.TryField(_type, path, out var field))
            Store(field, value);
        return this;
    }

    public StructWriter SetBytes(string path, ReadOnlySpan<byte> bytes)
    {
        var field = _tables.Field(_type, path);
        if (bytes.Length > field.Size)
            throw new ArgumentException($"{bytes.Length} bytes do not fit into {_type}.{path}");
        bytes.CopyTo(_bytes.AsSpan(field.Offset));
        return this;
    }

    /// <summary>An empty list: both links of the head point to it.</summary>
    public StructWriter EmptyList(string path)
    {
        Links(path, AddressOf(path), AddressOf(path));
        return this;
    }

    public StructWriter EmptyListWhere(string path)
    {
        if (Has(path))
            EmptyList(path);
        return this;
    }

    public StructWriter Links(string path, ulong flink, ulong blink)
    {
        Set(path + ".Flink", flink);
        return Set(path + ".Blink", blink);
    }

    /// <summary>A _UNICODE_STRING over text that lies, with a terminating zero behind, at <paramref name="buffer"/>.</summary>
    public StructWriter SetString(string path, string text, ulong buffer)
    {
        Set(path + ".Length", (ulong)text.Length * 2);
        Set(path + ".MaximumLength", (ulong)text.Length * 2 + 2);
        return Set(path + ".Buffer", buffer);
    }

    public void Store(AddressSpace space) => space.Write(Address, _bytes);

    private void Store(KernelField field, ulong value)
    {
        var target = _bytes.AsSpan(field.Offset, Math.Min(field.Size, 8));
        if (field.BitLength > 0)
        {
            var mask = field.BitLength == 64 ? ulong.MaxValue : (1UL << field.BitLength) - 1;
            value = (Load(target) & ~(mask << field.BitPosition)) | (value & mask) << field.BitPosition;
        }
        switch (target.Length)
        {
            case 1: target[0] = (byte)value; break;
            case 2: BinaryPrimitives.WriteUInt16LittleEndian(target, (ushort)value); break;
            case 4: BinaryPrimitives.WriteUInt32LittleEndian(target, (uint)value); break;
            case 8: BinaryPrimitives.WriteUInt64LittleEndian(target, value); break;
            default: throw new ArgumentException($"{_type}.{field.Name} is no number");
        }
    }

    private static ulong Load(ReadOnlySpan<byte> bytes)
    {
        ulong value = 0;
        for (var i = bytes.Length - 1; i >= 0; i--)
            value = value << 8 | bytes[i];
        return value;
    }
}
