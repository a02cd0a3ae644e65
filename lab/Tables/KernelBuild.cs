using System.Globalization;

namespace Forengate.Lab.Tables;

/// <summary>Which kernel a table describes.</summary>
/// <param name="Version">Four-part file version, such as 10.0.19041.329.</param>
/// <param name="Guid">PDB GUID as 32 hex digits, in the order Microsoft's symbol servers write it.</param>
/// <param name="Age">PDB age.</param>
/// <param name="ImageSize">SizeOfImage of the file; 0 where it is not known.</param>
/// <param name="Timestamp">TimeDateStamp of the file; 0 where it is not known.</param>
internal sealed record KernelBuild(string Version, string Guid, uint Age, uint ImageSize, uint Timestamp)
{
    public int Major => Part(0);
    public int Minor => Part(1);
    public int Build => Part(2);
    public int Revision => Part(3);

    /// <summary>The PDB's GUID in the byte order of a CodeView record: first three parts little endian.</summary>
    public byte[] GuidBytes() => System.Guid.ParseExact(Guid, "N").ToByteArray();

    private int Part(int index) => int.Parse(Version.Split('.')[index], NumberStyles.None, CultureInfo.InvariantCulture);
}
