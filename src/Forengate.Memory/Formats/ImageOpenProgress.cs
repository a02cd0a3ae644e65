namespace Forengate.Memory;

/// <summary>How far the opening of an image is, where that takes long: indexing a stream, spooling what can't be read at random.</summary>
/// <param name="What">What is done, for people: "indexing", "unpacking".</param>
/// <param name="Done">Bytes of the file looked at.</param>
/// <param name="Total">Bytes of the file.</param>
public readonly record struct ImageOpenProgress(string What, long Done, long Total);
