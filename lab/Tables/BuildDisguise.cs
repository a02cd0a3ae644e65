using Forengate.Lab.Image;

namespace Forengate.Lab.Tables;

/// <summary>Takes from a kernel what names it among all others: its PDB's GUID, its file's time stamp and size. The version stays: it is in many places, and one version has many builds.</summary>
internal static class BuildDisguise
{
    public static KernelBuild Of(KernelBuild build, ulong seed)
    {
        var guid = build.GuidBytes();
        var random = new SeededRandom(seed ^ BitConverter.ToUInt64(guid) ^ 0xD15C);
        random.Fill(guid);
        // Without a size of its file the image takes one of its own.
        return build with { Guid = new Guid(guid).ToString("N").ToUpperInvariant(), ImageSize = 0, Timestamp = 0x5A000000 + (uint)random.Next(0x8000000) };
    }
}
