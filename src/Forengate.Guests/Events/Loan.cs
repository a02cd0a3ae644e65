namespace Forengate.Guests;

/// <summary>Something lent, given back once.</summary>
internal sealed class Loan(Action giveBack) : IDisposable
{
    /// <summary>Where nothing needs to be lent.</summary>
    public static readonly Loan Nothing = new(static () => { });

    private Action? _giveBack = giveBack;

    public void Dispose() => Interlocked.Exchange(ref _giveBack, null)?.Invoke();
}
