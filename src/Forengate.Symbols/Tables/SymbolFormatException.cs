namespace Forengate.Symbols;

/// <summary>A file is not the symbol file (PDB, ISF) it should be, or is damaged. The message is one line: what is wrong, where, and what to try.</summary>
public sealed class SymbolFormatException : IOException
{
    public SymbolFormatException()
    {
    }

    public SymbolFormatException(string message)
        : base(message)
    {
    }

    public SymbolFormatException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
