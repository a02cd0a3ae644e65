namespace Forengate.Symbols;

/// <summary>
/// Kinds of CodeView type records and of what stands in field lists, by the names that Microsoft gave them in cvinfo.h (github.com/microsoft/microsoft-pdb) without their LF_.
/// The numbers below 0x1000 and those that end in _ST there are of linkers before 2002 and not read.
/// </summary>
internal static class CodeViewLeaf
{
    public const ushort Modifier = 0x1001;
    public const ushort Pointer = 0x1002;
    public const ushort Procedure = 0x1008;
    public const ushort MemberFunction = 0x1009;
    public const ushort FieldList = 0x1203;
    public const ushort BitField = 0x1205;

    // In field lists.
    public const ushort BaseClass = 0x1400;
    public const ushort VirtualBaseClass = 0x1401;
    public const ushort IndirectVirtualBaseClass = 0x1402;
    /// <summary>The list goes on in another record.</summary>
    public const ushort Index = 0x1404;
    public const ushort VirtualTable = 0x1409;
    public const ushort VirtualTableAt = 0x140C;
    public const ushort Enumerate = 0x1502;
    public const ushort Member = 0x150D;
    public const ushort StaticMember = 0x150E;
    public const ushort Method = 0x150F;
    public const ushort NestedType = 0x1510;
    public const ushort OneMethod = 0x1511;
    public const ushort NestedTypeEx = 0x1512;
    public const ushort BaseInterface = 0x151A;

    public const ushort Array = 0x1503;
    public const ushort Class = 0x1504;
    public const ushort Structure = 0x1505;
    public const ushort Union = 0x1506;
    public const ushort Enum = 0x1507;
    public const ushort StridedArray = 0x1516;
    public const ushort Interface = 0x1519;
    /// <summary>Class and structure as Visual Studio 2019 may write them: 32-bit properties, no count of members.</summary>
    public const ushort Class2 = 0x1608;
    public const ushort Structure2 = 0x1609;

    /// <summary>In the IPI stream: a text.</summary>
    public const ushort StringId = 0x1605;

    // Numeric leaves.
    public const ushort FirstNumeric = 0x8000;
    public const ushort Char = 0x8000;
    public const ushort Short = 0x8001;
    public const ushort UnsignedShort = 0x8002;
    public const ushort Long = 0x8003;
    public const ushort UnsignedLong = 0x8004;
    public const ushort QuadWord = 0x8009;
    public const ushort UnsignedQuadWord = 0x800A;
    public const ushort VarString = 0x8010;
    public const ushort OctWord = 0x8017;
    public const ushort UnsignedOctWord = 0x8018;
    public const ushort Utf8String = 0x801B;

    /// <summary>Bytes from here on fill a record up to the next multiple of four; the lower half says how many they are.</summary>
    public const byte FirstPadding = 0xF0;

    /// <summary>Bytes behind the mark of a floating-point, complex, decimal or date value; 0 where the mark is none of them.</summary>
    public static int LengthOfReal(ushort mark) => mark switch
    {
        0x8005 => 4, // LF_REAL32
        0x8006 => 8, // LF_REAL64
        0x8007 => 10, // LF_REAL80
        0x8008 => 16, // LF_REAL128
        0x800B => 6, // LF_REAL48
        0x800C => 8, // LF_COMPLEX32
        0x800D => 16, // LF_COMPLEX64
        0x800E => 20, // LF_COMPLEX80
        0x800F => 32, // LF_COMPLEX128
        0x8019 => 16, // LF_DECIMAL
        0x801A => 8, // LF_DATE
        0x801C => 2, // LF_REAL16
        _ => 0,
    };
}
