using System.Buffers.Binary;
using System.Text;

namespace Forengate.Symbols;

/// <summary>
/// The name tables of a pack: they say what its columns are, so that a program finds its own columns in packs made by another version, and lives with those it lacks.
/// Each name is a length byte and ASCII; a field has its structure's index (u16) before its name.
/// </summary>
internal sealed class PackNames
{
    /// <summary>Version 1 packs hold kernels only, and x64 Windows links all of them as this.</summary>
    public const string KernelPdb = "ntkrnlmp.pdb";

    public required string[] Structs { get; init; }

    /// <summary>Index of the structure, and name.</summary>
    public required (int Struct, string Name)[] Fields { get; init; }

    public required string[] Globals { get; init; }

    /// <summary>Parses the tables; null where they do not fit their bytes.</summary>
    public static PackNames? Read(ReadOnlySpan<byte> bytes, int structs, int fields, int globals)
    {
        var names = new PackNames { Structs = new string[structs], Fields = new (int, string)[fields], Globals = new string[globals] };
        for (var i = 0; i < structs; i++)
        {
            if (!TryTake(ref bytes, out names.Structs[i]))
                return null;
        }
        for (var i = 0; i < fields; i++)
        {
            if (bytes.Length < sizeof(ushort))
                return null;
            var owner = BinaryPrimitives.ReadUInt16LittleEndian(bytes);
            bytes = bytes[sizeof(ushort)..];
            if (owner >= structs || !TryTake(ref bytes, out var name))
                return null;
            names.Fields[i] = (owner, name);
        }
        for (var i = 0; i < globals; i++)
        {
            if (!TryTake(ref bytes, out names.Globals[i]))
                return null;
        }
        return bytes.IsEmpty ? names : null;
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

    /// <summary>For each structure of this program: its column in the pack, or -1.</summary>
    public int[] ColumnsOf(ReadOnlySpan<string> structs)
    {
        var columns = new int[structs.Length];
        for (var i = 0; i < structs.Length; i++)
            columns[i] = Array.IndexOf(Structs, structs[i]);
        return columns;
    }

    /// <summary>For each field of this program: its column in the pack, or -1.</summary>
    public int[] ColumnsOf(ReadOnlySpan<KernelFieldName> fields)
    {
        var known = new Dictionary<(string, string), int>(Fields.Length);
        for (var i = 0; i < Fields.Length; i++)
            known.TryAdd((Structs[Fields[i].Struct], Fields[i].Name), i);
        var columns = new int[fields.Length];
        for (var i = 0; i < fields.Length; i++)
            columns[i] = known.GetValueOrDefault((KernelSchema.Structs[(int)fields[i].Struct], fields[i].Name), -1);
        return columns;
    }

    /// <summary>For each global of this program: its column in the pack, or -1.</summary>
    public int[] GlobalColumns()
    {
        var columns = new int[KernelSchema.Globals.Length];
        for (var i = 0; i < columns.Length; i++)
            columns[i] = Array.IndexOf(Globals, KernelSchema.Globals[i]);
        return columns;
    }

    private static void Put(List<byte> bytes, string name)
    {
        bytes.Add(checked((byte)name.Length));
        bytes.AddRange(Encoding.ASCII.GetBytes(name));
    }

    private static bool TryTake(ref ReadOnlySpan<byte> bytes, out string name)
    {
        name = "";
        if (bytes.IsEmpty || bytes.Length < 1 + bytes[0])
            return false;
        name = Encoding.ASCII.GetString(bytes.Slice(1, bytes[0]));
        bytes = bytes[(1 + bytes[0])..];
        return true;
    }
}
