using Forengate.Symbols;

namespace Forengate.Engine;

/// <summary>A kernel that someone asked for by a word: its profile, and its full tables where a file has them.</summary>
internal sealed class ShelfBuild(KnownKernel kernel, KernelProfile profile, ISymbolTables? tables) : IDisposable
{
    public KernelProfile Profile => profile;

    public ISymbolTables? Tables => tables;

    public string Label => $"{kernel.Version?.ToString() ?? "build not known"} ({profile.CodeView.Key}), {kernel.Source}";

    public void Dispose() => (tables as IDisposable)?.Dispose();
}
