namespace Forengate.Memory;

/// <summary>Takes hits on one thread; a struct, so that the search calls it directly.</summary>
internal interface IPatternSink
{
    void Found(PatternHit hit);
}
