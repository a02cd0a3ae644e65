using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Forengate.Symbols;

/// <summary>
/// The name tables of a pack: they say what its columns are, so that a program finds its own columns in packs made by another version, and lives with those it lacks.
/// Each name is a length byte and ASCII; a field has its structure's index (u16) before its name.
/// </summary>
internal sealed class PackNames
{
    /// <summary>Packs hold kernels only, and x64 Windows links all of them as this.</summary>
    public const string KernelPdb = "ntkrnlmp.pdb";

    private readonly ReadOnlyMemory<byte> _bytes;
    private readonly bool _areOurs;

    private PackNames(ReadOnlyMemory<byte> bytes, int structs, ushort[] owners, int globals)
    {
        (_bytes, StructCount, Owners, GlobalCount) = (bytes, structs, owners, globals);
        _areOurs = DigestOf(bytes.Span) == KernelSchema.NamesDigest;
    }

    public int StructCount { get; }

    /// <summary>For each field, the index of its structure.</summary>
    public ushort[] Owners { get; }

    public int GlobalCount { get; }

    /// <summary>Walks the tables; null where they do not fit their bytes.</summary>
    public static PackNames? Read(ReadOnlyMemory<byte> bytes, int structs, int fields, int globals)
    {
        var rest = bytes.Span;
        var owners = new ushort[fields];
        for (var i = 0; i < structs; i++)
        {
            if (!TryTake(ref rest, out _))
                return null;
        }
        for (var i = 0; i < fields; i++)
        {
            if (!TryTakeOwner(ref rest, out owners[i]) || owners[i] >= structs || !TryTake(ref rest, out _))
                return null;
        }
        for (var i = 0; i < globals; i++)
        {
            if (!TryTake(ref rest, out _))
                return null;
        }
        return rest.IsEmpty ? new PackNames(bytes, structs, owners, globals) : null;
    }

    public static byte[] Write(IReadOnlyList<string> structs, IReadOnlyList<(int Struct, string Name)> fields, IReadOnlyList<string> globals)
    {
        var bytes = new List<byte>();
        foreach (var name in structs)
            Put(bytes, name);
        Span<byte> owner = stackalloc byte[sizeof(ushort)];
        foreach (var field in fields)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(owner, (ushort)field.Struct);
            bytes.AddRange(owner);
            Put(bytes, field.Name);
        }
        foreach (var name in globals)
            Put(bytes, name);
        return [.. bytes];
    }

    /// <summary>Names one behind the other, to the end; null where they do not fit their bytes or are too many.</summary>
    public static string[]? ReadList(ReadOnlySpan<byte> bytes, int most)
    {
        var names = new List<string>();
        while (!bytes.IsEmpty)
        {
            if (names.Count == most || !TryTake(ref bytes, out var name))
                return null;
            names.Add(Encoding.ASCII.GetString(name));
        }
        return [.. names];
    }

    /// <summary>The same, written.</summary>
    public static byte[] WriteList(IEnumerable<string> names)
    {
        var bytes = new List<byte>();
        foreach (var name in names)
            Put(bytes, name);
        return [.. bytes];
    }

    /// <summary>The first eight bytes of the tables' SHA-256.</summary>
    public static ulong DigestOf(ReadOnlySpan<byte> bytes)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, digest);
        return BinaryPrimitives.ReadUInt64LittleEndian(digest);
    }

    /// <summary>
    /// For each structure, field and global of this program: its column in the pack, or -1. Where the pack was made with this very schema that is its own number:
    /// then nothing is compared, and the schema's names need not even be read.
    /// </summary>
    public (int[] Structs, int[] Fields, int[] Globals) Columns()
    {
        if (_areOurs)
            return (Numbers(StructCount), Numbers(Owners.Length), Numbers(GlobalCount));
        var rest = _bytes.Span;
        var (structNames, known) = (new string[StructCount], new Dictionary<string, int>(StructCount + Owners.Length + GlobalCount, StringComparer.Ordinal));
        // One dictionary for all three: the kind of a name is said by what stands before it.
        for (var i = 0; i < StructCount; i++)
            known.TryAdd(structNames[i] = Take(ref rest), i);
        for (var i = 0; i < Owners.Length; i++)
        {
            _ = TryTakeOwner(ref rest, out _);
            known.TryAdd($"{structNames[Owners[i]]}/{Take(ref rest)}", i);
        }
        for (var i = 0; i < GlobalCount; i++)
            known.TryAdd($"={Take(ref rest)}", i);

        var (structs, fields, globals) = (new int[KernelSchema.Structs.Length], new int[KernelSchema.Fields.Length], new int[KernelSchema.Globals.Length]);
        for (var i = 0; i < structs.Length; i++)
            structs[i] = known.GetValueOrDefault(KernelSchema.Structs[i], -1);
        for (var i = 0; i < fields.Length; i++)
            fields[i] = known.GetValueOrDefault($"{KernelSchema.Structs[(int)KernelSchema.Fields[i].Struct]}/{KernelSchema.Fields[i].Name}", -1);
        for (var i = 0; i < globals.Length; i++)
            globals[i] = known.GetValueOrDefault($"={KernelSchema.Globals[i]}", -1);
        return (structs, fields, globals);
    }

    private static int[] Numbers(int count)
    {
        var numbers = new int[count];
        for (var i = 0; i < count; i++)
            numbers[i] = i;
        return numbers;
    }

    private static void Put(List<byte> bytes, string name)
    {
        bytes.Add(checked((byte)name.Length));
        bytes.AddRange(Encoding.ASCII.GetBytes(name));
    }

    private static string Take(ref ReadOnlySpan<byte> bytes) => TryTake(ref bytes, out var name) ? Encoding.ASCII.GetString(name) : "";

    private static bool TryTakeOwner(ref ReadOnlySpan<byte> bytes, out ushort owner)
    {
        if (!BinaryPrimitives.TryReadUInt16LittleEndian(bytes, out owner))
            return false;
        bytes = bytes[sizeof(ushort)..];
        return true;
    }

    private static bool TryTake(ref ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> name)
    {
        name = default;
        if (bytes.IsEmpty || bytes.Length < 1 + bytes[0])
            return false;
        name = bytes.Slice(1, bytes[0]);
        bytes = bytes[(1 + name.Length)..];
        return true;
    }
}
