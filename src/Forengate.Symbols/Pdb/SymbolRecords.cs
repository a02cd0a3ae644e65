using System.Buffers.Binary;

namespace Forengate.Symbols;

/// <summary>The records of the symbol stream, in their order. Kinds by cvinfo.h (SYM_ENUM_e).</summary>
internal sealed class SymbolRecords(byte[] bytes, PdbAddresses addresses)
{
    private const ushort Constant = 0x1107;
    private const ushort TypeName = 0x1108;
    private const ushort LocalData = 0x110C;
    private const ushort GlobalData = 0x110D;
    private const ushort Public = 0x110E;

    /// <summary>Length and kind.</summary>
    private const int HeadLength = 2 * sizeof(ushort);

    /// <summary>The first byte behind the last record that could be read: less than there are where one is damaged.</summary>
    public int ReadUpTo { get; private set; }

    /// <summary>Bytes behind it.</summary>
    public int Left => bytes.Length - ReadUpTo;

    public IEnumerable<PdbSymbol> Read()
    {
        for (var at = 0; TryStep(ref at, out var kind, out var start, out var length);)
        {
            ReadUpTo = at;
            if (Parse(kind, bytes.AsSpan(start, length)) is { } symbol)
                yield return symbol;
        }
    }

    private bool TryStep(ref int at, out ushort kind, out int start, out int length)
    {
        (kind, start, length) = (0, at + HeadLength, 0);
        if (bytes.Length - at < HeadLength)
            return false;
        length = BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(at)) - sizeof(ushort);
        kind = BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(at + sizeof(ushort)));
        if (length < 0 || length > bytes.Length - start)
            return false;
        at = start + length;
        return true;
    }

    private PdbSymbol? Parse(ushort kind, ReadOnlySpan<byte> body)
    {
        var cursor = new ByteCursor(body);
        PdbSymbol? symbol = null;
        switch (kind)
        {
            case Public:
                cursor.Skip(sizeof(uint));
                var place = Place(ref cursor);
                symbol = new PdbSymbol(PdbSymbolKind.Public, cursor.Name(), place, 0, 0);
                break;
            case GlobalData or LocalData:
                var type = cursor.U32();
                var at = Place(ref cursor);
                symbol = new PdbSymbol(PdbSymbolKind.Data, cursor.Name(), at, type, 0);
                break;
            case Constant:
                var of = cursor.U32();
                var value = cursor.Numeric();
                symbol = new PdbSymbol(PdbSymbolKind.Constant, cursor.Name(), null, of, value);
                break;
            case TypeName:
                var named = cursor.U32();
                symbol = new PdbSymbol(PdbSymbolKind.TypeName, cursor.Name(), null, named, 0);
                break;
        }
        return cursor.Failed ? null : symbol;
    }

    private uint? Place(ref ByteCursor cursor)
    {
        var offset = cursor.U32();
        return addresses.RvaOf(cursor.U16(), offset);
    }
}
