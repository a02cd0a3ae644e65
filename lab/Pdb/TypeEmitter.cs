namespace Forengate.Lab.Pdb;

/// <summary>Turns structures into type records, in the order that Microsoft's compiler keeps: what a record refers to stands before it, pointers lead to forward references.</summary>
internal sealed class TypeEmitter(PdbTypeSource source, TypeRecords records)
{
    // Kinds of records (cvinfo.h).
    private const int Pointer = 0x1002, Procedure = 0x1008, ArgumentList = 0x1201, FieldList = 0x1203, BitField = 0x1205, Continuation = 0x1404, Enumerate = 0x1502, Array = 0x1503;
    private const int Structure = 0x1505, Union = 0x1506, Enumeration = 0x1507, Member = 0x150D;
    private const int ForwardReference = 0x80, HasUniqueName = 0x200;
    private const int Public = 3;
    /// <summary>A 64-bit near pointer of eight bytes.</summary>
    private const uint Pointer64 = 0x1000C;
    private const uint SimplePointer64 = 0x600;
    private const uint VoidPointer = 0x603;
    private const uint Void = 3;
    private const uint UnsignedQuad = 0x23;
    /// <summary>A field list that grows beyond is continued in another record, which stands before it.</summary>
    private const int LongestList = 0xF000;

    private static readonly Dictionary<string, (uint Index, int Size)> _simple = new()
    {
        ["void"] = (Void, 0), ["HRESULT"] = (0x08, 4), ["char"] = (0x70, 1), ["unsigned char"] = (0x20, 1), ["wchar"] = (0x71, 2), ["short"] = (0x11, 2), ["unsigned short"] = (0x21, 2),
        ["long"] = (0x12, 4), ["unsigned long"] = (0x22, 4), ["int"] = (0x74, 4), ["unsigned int"] = (0x75, 4), ["long long"] = (0x13, 8), ["unsigned long long"] = (UnsignedQuad, 8),
        ["f32"] = (0x40, 4), ["double"] = (0x41, 8), ["int8"] = (0x68, 1), ["uint8"] = (0x69, 1), ["int128"] = (0x14, 16), ["uint128"] = (0x24, 16),
    };

    private readonly Dictionary<string, uint> _defined = new(StringComparer.Ordinal);
    private readonly HashSet<string> _underWay = new(StringComparer.Ordinal);

    /// <summary>Types that were given a definition.</summary>
    public int Defined => _defined.Count;

    public void EmitAll()
    {
        foreach (var name in source.Enumerations.Keys.Order(StringComparer.Ordinal))
            DefineEnumeration(name);
        foreach (var name in source.Structures.Keys.Order(StringComparer.Ordinal))
            Define(name);
    }

    private static bool IsUnnamed(string name) => name.StartsWith("__unnamed", StringComparison.Ordinal) || name.StartsWith("__anonymous", StringComparison.Ordinal);

    private uint Define(string name)
    {
        if (_defined.TryGetValue(name, out var known))
            return known;
        var type = source.Structures[name];
        // A type that holds itself is only found in damaged tables; its forward reference will do.
        if (!_underWay.Add(name))
            return Forward(name);
        if (!IsUnnamed(name))
            Forward(name);
        var members = type.Members.Select(member => new RecordWriter().U16(Member).U16(Public).U32(Refer(member.Type)).Number(member.Offset).Text(member.Name).Pad()).ToList();
        var index = Tag(type, members.Count, List(members));
        _defined.Add(name, index);
        return index;
    }

    private uint Forward(string name) => IsUnnamed(name) ? Void : Tag(source.Structures[name], 0, null);

    private uint Tag(PdbStructure type, int count, uint? fields)
    {
        var unnamed = IsUnnamed(type.Name);
        var name = unnamed ? "<unnamed-tag>" : type.Name;
        var properties = (fields is null ? ForwardReference : 0) | (unnamed ? 0 : HasUniqueName);
        var body = new RecordWriter().U16(count).U16(properties).U32(fields ?? 0);
        if (!type.IsUnion)
            body.U32(0).U32(0);
        body.Number(fields is null ? 0 : type.Size).Text(name);
        if (!unnamed)
            body.Text($".?A{(type.IsUnion ? 'T' : 'U')}{name}@@");
        return records.Add(type.IsUnion ? Union : Structure, body, fields is null ? null : name);
    }

    private uint DefineEnumeration(string name)
    {
        if (_defined.TryGetValue(name, out var known))
            return known;
        var type = source.Enumerations[name];
        var constants = type.Constants.Select(constant => new RecordWriter().U16(Enumerate).U16(Public).Number(constant.Value).Text(constant.Key).Pad()).ToList();
        var body = new RecordWriter().U16(constants.Count).U16(HasUniqueName).U32(_simple[type.Base].Index).U32(List(constants)).Text(name).Text($".?AW4{name}@@");
        return _defined[name] = records.Add(Enumeration, body, name);
    }

    private uint List(List<RecordWriter> members)
    {
        // From the last part to the first: each says where the next is.
        uint next = 0;
        var end = members.Count;
        do
        {
            var (start, length) = (end, 0);
            while (start > 0 && length + members[start - 1].Length < LongestList)
                length += members[--start].Length;
            var body = new RecordWriter();
            for (var i = start; i < end; i++)
                body.Bytes(members[i].ToArray());
            if (next != 0)
                body.U16(Continuation).U16(0).U32(next);
            next = records.Add(FieldList, body);
            end = start;
        }
        while (end > 0);
        return next;
    }

    private uint Refer(PdbFieldType type)
    {
        switch (type.Kind)
        {
            case "base": return _simple[type.Name].Index;
            case "enum": return DefineEnumeration(type.Name);
            case "function": return Function();
            case "bitfield": return records.Add(BitField, new RecordWriter().U32(Refer(type.Inner!)).U8(type.B).U8(type.A));
            case "array": return records.Add(Array, new RecordWriter().U32(Refer(type.Inner!)).U32(UnsignedQuad).Number(SizeOf(type)).Text(""));
            case "pointer": return PointerTo(type.Inner!);
            default: return source.Structures.ContainsKey(type.Name) ? Define(type.Name) : Opaque(type);
        }
    }

    private uint PointerTo(PdbFieldType target)
    {
        if (target.Kind == "base")
            return SimplePointer64 | _simple[target.Name].Index;
        uint index;
        if (target.Kind is not ("struct" or "union" or "class"))
            index = Refer(target);
        else if (!source.Structures.ContainsKey(target.Name))
            index = Opaque(target);
        else if (!IsUnnamed(target.Name))
            index = Forward(target.Name);
        else if (_underWay.Contains(target.Name) && !_defined.ContainsKey(target.Name))
            return VoidPointer;
        else
            index = Define(target.Name);
        return records.Add(Pointer, new RecordWriter().U32(index).U32(Pointer64));
    }

    /// <summary>A type that is only ever pointed to: nobody knows more than its name.</summary>
    private uint Opaque(PdbFieldType type) => IsUnnamed(type.Name) ? Void : Tag(new PdbStructure(type.Name, type.Kind == "union", 0, []), 0, null);

    private uint Function()
    {
        var arguments = records.Add(ArgumentList, new RecordWriter().U32(0));
        return records.Add(Procedure, new RecordWriter().U32(Void).U8(0).U8(0).U16(0).U32(arguments));
    }

    private int SizeOf(PdbFieldType type) => type.Kind switch
    {
        "base" => _simple[type.Name].Size,
        "enum" => _simple[source.Enumerations[type.Name].Base].Size,
        "pointer" => 8,
        "array" => type.A * SizeOf(type.Inner!),
        "bitfield" => SizeOf(type.Inner!),
        "function" => 0,
        _ => source.Structures.GetValueOrDefault(type.Name)?.Size ?? 0,
    };
}
